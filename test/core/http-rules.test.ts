import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ErrorCode, GatewayError } from "../../core/errors.ts";
import { type HeadFacts, inspectHead, isValidHost, type RequestHead } from "../../core/http-rules.ts";

const LIMITS = { maxHeaderBytes: 1000, maxHeaders: 10 };

interface Ask extends Partial<RequestHead> {
  trusted?: boolean;
}

function head({ trusted: _, ...parts }: Ask): RequestHead {
  return { method: "GET", target: "/", version: "1.1", scheme: "http", raw: ["Host", "a.test"], ...parts };
}

const inspect = (ask: Ask = {}): HeadFacts => inspectHead(head(ask), LIMITS, ask.trusted === true);

/** The fields that are left. */
function left(raw: string[], trusted = false): string[] {
  const all = ["Host", "a.test", ...raw];
  inspectHead(head({ raw: all }), LIMITS, trusted);
  return all.slice(2);
}

const withHost = (...raw: string[]): string[] => ["Host", "a.test", ...raw];

describe("a host", () => {
  it.each([
    "a",
    "a.test",
    "A_b-c.test.",
    "1.2.3.4",
    "a.test:0",
    "a.test:65535",
    "a:80",
    "[::1]",
    "[2001:DB8::1]:443",
    "[::ffff:1.2.3.4]",
    "xn--bcher-kva.example",
  ])("may be %s", (host) => expect(isValidHost(host)).toBe(true));

  it.each([
    "",
    " ",
    "a b",
    "a,b",
    "a.test:",
    "a.test:x",
    "a.test:65536",
    "a.test:123456",
    ":80",
    ".a",
    "-a",
    "a-",
    "user@a",
    "a/b",
    "a?b",
    "a#b",
    "a\\b",
    "::1",
    "[::1",
    "[::1]x",
    "[x]",
    "[]",
    "é.test",
    "a%20b",
    "a\r",
    "a\n",
    "a..b\0",
    "http://a",
  ])("may not be %j", (host) => expect(isValidHost(host)).toBe(false));
});

describe("a request head", () => {
  it("in order gives its facts", () => {
    expect(inspect()).toEqual({ authority: "a.test", target: "/", bodyLength: 0, expectsContinue: false });
    expect(inspect({ target: "/a%20b//c?d=%2f" }).target).toBe("/a%20b//c?d=%2f");
  });

  it.each<[string, Ask, ErrorCode]>([
    ["HTTP/0.9", { version: "0.9" }, "VERSION_UNSUPPORTED"],
    ["HTTP/1.2", { version: "1.2" }, "VERSION_UNSUPPORTED"],
    ["HTTP/2.0", { version: "2.0" }, "VERSION_UNSUPPORTED"],
    ["too many header lines", { raw: Array(22).fill("a") }, "HEADERS_TOO_LARGE"],
    ["too many header bytes", { raw: withHost("a", "b".repeat(1000)) }, "HEADERS_TOO_LARGE"],
    ["a target that is too long", { target: `/${"a".repeat(1000)}` }, "HEADERS_TOO_LARGE"],
    ["no Host", { raw: [] }, "HOST_INVALID"],
    ["two Hosts", { raw: ["Host", "a.test", "host", "a.test"] }, "HOST_INVALID"],
    ["an empty Host", { raw: ["Host", ""] }, "HOST_INVALID"],
    ["a Host with a user", { raw: ["Host", "u@a.test"] }, "HOST_INVALID"],
    ["a Host with a path", { raw: ["Host", "a.test/x"] }, "HOST_INVALID"],
    ["a bad Host in HTTP/1.0", { version: "1.0", raw: ["Host", "a b"] }, "HOST_INVALID"],
    ["* for a method that is not OPTIONS", { target: "*" }, "REQUEST_TARGET_INVALID"],
    ["no slash", { target: "a" }, "REQUEST_TARGET_INVALID"],
    ["an authority", { target: "a.test:80" }, "REQUEST_TARGET_INVALID"],
    ["another scheme", { target: "ftp://a.test/" }, "REQUEST_TARGET_INVALID"],
    ["an absolute target without a host", { target: "http:///a" }, "REQUEST_TARGET_INVALID"],
    ["an absolute target with a user", { target: "http://u@a.test/" }, "REQUEST_TARGET_INVALID"],
    ["an absolute target with dot segments", { target: "http://a.test/../x" }, "REQUEST_TARGET_INVALID"],
    ["a fragment", { target: "/a#b" }, "REQUEST_TARGET_INVALID"],
    ["a backslash", { target: "/a\\b" }, "REQUEST_TARGET_INVALID"],
    ["a control character", { target: "/a\x01" }, "REQUEST_TARGET_INVALID"],
    ["a space", { target: "/a b" }, "REQUEST_TARGET_INVALID"],
    ["DEL", { target: "/a\x7f" }, "REQUEST_TARGET_INVALID"],
    ["an escaped NUL", { target: "/a%00" }, "REQUEST_TARGET_INVALID"],
    ["an escaped NUL in the query", { target: "/a?b=%00" }, "REQUEST_TARGET_INVALID"],
    ["dot segments", { target: "/a/../b" }, "REQUEST_TARGET_INVALID"],
    ["escaped dot segments", { target: "/a/%2e%2E/b" }, "REQUEST_TARGET_INVALID"],
    ["dot segments between escaped slashes", { target: "/a%2f..%2fb" }, "REQUEST_TARGET_INVALID"],
    ["another expectation", { raw: withHost("Expect", "tea") }, "EXPECTATION_FAILED"],
    [
      "Transfer-Encoding in HTTP/1.0",
      { version: "1.0", raw: withHost("Transfer-Encoding", "chunked") },
      "TRANSFER_ENCODING_INVALID",
    ],
    ["an empty Transfer-Encoding", { raw: withHost("Transfer-Encoding", "") }, "TRANSFER_ENCODING_INVALID"],
    [
      "Transfer-Encoding: identity",
      { raw: withHost("Transfer-Encoding", "identity") },
      "TRANSFER_ENCODING_INVALID",
    ],
    [
      "chunked twice",
      { raw: withHost("Transfer-Encoding", "chunked, chunked") },
      "TRANSFER_ENCODING_INVALID",
    ],
    [
      "chunked in two lines",
      { raw: withHost("Transfer-Encoding", "chunked", "transfer-encoding", "chunked") },
      "TRANSFER_ENCODING_INVALID",
    ],
    [
      "chunked not last",
      { raw: withHost("Transfer-Encoding", "chunked, gzip") },
      "TRANSFER_ENCODING_INVALID",
    ],
    ["no chunked", { raw: withHost("Transfer-Encoding", "gzip") }, "TRANSFER_ENCODING_INVALID"],
    [
      "chunked with something odd",
      { raw: withHost("Transfer-Encoding", "chunke\x0b") },
      "TRANSFER_ENCODING_INVALID",
    ],
    [
      "chunked with parameters",
      { raw: withHost("Transfer-Encoding", "chunked;q=1") },
      "TRANSFER_ENCODING_INVALID",
    ],
    [
      "a coding that is not undone here",
      { raw: withHost("Transfer-Encoding", "gzip, chunked") },
      "TRANSFER_ENCODING_UNSUPPORTED",
    ],
    ["Connection: host", { raw: withHost("Connection", "Host") }, "REQUEST_INVALID"],
    [
      "Connection: content-length",
      { raw: withHost("Connection", "close, Content-Length") },
      "REQUEST_INVALID",
    ],
    [
      "Connection: transfer-encoding",
      { raw: withHost("Connection", "transfer-encoding") },
      "REQUEST_INVALID",
    ],
  ])("is refused for %s", (_what, ask, code) => {
    try {
      inspect(ask);
      expect.unreachable();
    } catch (error) {
      expect((error as GatewayError).code).toBe(code);
    }
  });

  it("may be as large as the limits say", () => {
    const raw = withHost("a", "b");
    const size = "/".length + "Hosta.test".length + 4 + "ab".length + 4;
    const limits = { maxHeaderBytes: size, maxHeaders: 2 };
    expect(() => inspectHead(head({ raw: [...raw] }), limits, false)).not.toThrow();
    expect(() =>
      inspectHead(head({ raw: [...raw] }), { ...limits, maxHeaderBytes: size - 1 }, false),
    ).toThrow();
    expect(() => inspectHead(head({ raw: [...raw] }), { ...limits, maxHeaders: 1 }, false)).toThrow();
  });

  it("of HTTP/1.0 needs no Host", () => {
    expect(inspect({ version: "1.0", raw: [] }).authority).toBe("");
  });

  it("with * asks about the server, for OPTIONS", () => {
    expect(inspect({ method: "OPTIONS", target: "*" }).target).toBe("*");
  });

  it("with an absolute target has its authority, and Host is made to agree", () => {
    const raw = ["X", "1", "HOST", "other.test"];
    expect(inspect({ target: "HTTP://b.test:81/x?y", raw })).toMatchObject({
      authority: "b.test:81",
      target: "/x?y",
    });
    expect(raw).toEqual(["X", "1", "HOST", "b.test:81"]);
    expect(inspect({ target: "http://b.test?y" }).target).toBe("/?y");
    expect(inspect({ target: "https://b.test/x", scheme: "https" }).target).toBe("/x");
    expect(inspect({ target: "http://b.test" }).target).toBe("/");
    const none: string[] = [];
    expect(inspect({ target: "http://b.test/", version: "1.0", raw: none }).authority).toBe("b.test");
    expect(none).toEqual(["host", "b.test"]);
  });

  it("with an absolute target for another scheme is refused, unless a trusted proxy sends it", () => {
    const target = "https://b.test/x";
    expect(() => inspect({ target })).toThrow(expect.objectContaining({ code: "REQUEST_TARGET_INVALID" }));
    expect(inspect({ target, trusted: true }).authority).toBe("b.test");
  });

  it("does not take a value for a name when it makes Host agree", () => {
    const raw = ["X", "host", "Host", "a.test"];
    inspect({ target: "http://b.test/", raw });
    expect(raw).toEqual(["X", "host", "Host", "b.test"]);
  });

  it("says how long the body is", () => {
    expect(inspect({ raw: withHost("Content-Length", "12") }).bodyLength).toBe(12);
    expect(inspect({ raw: withHost("Content-Length", "0") }).bodyLength).toBe(0);
    expect(inspect({ raw: withHost("TRANSFER-encoding", "Chunked") }).bodyLength).toBeUndefined();
  });

  it("expects 100 only where there is a body to wait for", () => {
    const expects = (version: string, ...raw: string[]): boolean =>
      inspect({ version, raw: withHost("Expect", "100-Continue", ...raw) }).expectsContinue;
    expect(expects("1.1", "Content-Length", "5")).toBe(true);
    expect(expects("1.1", "Transfer-Encoding", "chunked")).toBe(true);
    expect(expects("1.1")).toBe(false);
    expect(expects("1.0", "Content-Length", "5")).toBe(false);
  });
});

describe("fields of the connection", () => {
  it("that Connection names are removed, so that it takes away nothing that is added later", () => {
    expect(left(["Connection", "X-Hop, close", "x-hop", "1", "X-Keep", "2", "X-HOP", "3"])).toEqual([
      "Connection",
      "X-Hop, close",
      "X-Keep",
      "2",
    ]);
    expect(left(["connection", "a", "Connection", "b", "A", "1", "B", "2", "c", "3"])).toEqual([
      "connection",
      "a",
      "Connection",
      "b",
      "c",
      "3",
    ]);
  });

  it("that are hop-by-hop anyway are left to whoever forwards", () => {
    expect(left(["Connection", "TE", "TE", "trailers"])).toEqual(["Connection", "TE", "TE", "trailers"]);
  });

  it("are left alone for close and keep-alive", () => {
    for (const value of ["close", "Keep-Alive"]) {
      expect(left(["Connection", value, "Keep", "1"])).toEqual(["Connection", value, "Keep", "1"]);
    }
  });
});

describe("what a client says about itself", () => {
  const forwarded = [
    "Forwarded",
    "X-Forwarded-For",
    "x-forwarded-host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "Client-Cert",
    "Client-Cert-Chain",
    "X-Forwarded-Client-Cert",
  ];

  it.each(forwarded)("by %s counts only from a trusted proxy", (name) => {
    expect(left(["a", "1", name, "x", "b", "2"])).toEqual(["a", "1", "b", "2"]);
    expect(left(["a", "1", name, "x"], true)).toEqual(["a", "1", name, "x"]);
  });

  it.each(["X_Forwarded_For", "x-forwarded_proto", "Client_Cert", "X.Forwarded!For"])(
    "by %s, which some take for the same, never counts",
    (name) => {
      for (const trusted of [true, false]) expect(left(["a", "1", name, "x"], trusted)).toEqual(["a", "1"]);
    },
  );

  it.each(["X-Consumer-Name", "x-consumer-ROLES", "X_Consumer_Name", "x-consumer_roles", "x.consumer~name"])(
    "by %s never counts",
    (name) => {
      for (const trusted of [true, false]) expect(left(["a", "1", name, "x"], trusted)).toEqual(["a", "1"]);
    },
  );

  it("is told apart from other fields as long", () => {
    const raw = ["x2345678x", "1", "x23456789012345", "1", "x234567890123456", "1", "x2345678901234567", "1"];
    expect(left(raw)).toEqual(raw);
  });
});

describe("any head", () => {
  it("is taken, or refused with a status of the client's", () => {
    const name = fc.oneof(
      fc.constantFrom(
        "Host",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "Expect",
        "X-Forwarded-For",
      ),
      fc.string({ minLength: 1 }),
    );
    const value = fc.oneof(
      fc.constantFrom("chunked", "close", "a.test", "5"),
      fc.string({ unit: "binary-ascii" }),
    );
    const raw = fc.array(fc.tuple(name, value), { maxLength: 6 }).map((pairs) => pairs.flat());
    const target = fc.oneof(fc.webUrl(), fc.webPath(), fc.string({ unit: "binary-ascii" }));
    fc.assert(
      fc.property(
        raw,
        target,
        fc.constantFrom("1.1", "1.0"),
        fc.boolean(),
        (fields, to, version, trusted) => {
          try {
            const facts = inspect({ raw: fields, target: to, version, trusted });
            expect(facts.target === "*" || facts.target.startsWith("/")).toBe(true);
            expect(facts.authority === "" || isValidHost(facts.authority)).toBe(true);
            expect(fields.length % 2).toBe(0);
          } catch (error) {
            const { status } = error as GatewayError;
            expect([400, 417, 431, 501, 505]).toContain(status);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});
