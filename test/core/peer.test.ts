import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ConfigError } from "../../core/errors.ts";
import { compileTrust, isLoopback, Peer, plainAddress } from "../../core/peer.ts";
import { headerList } from "../support/harness.ts";

const trust = compileTrust(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1"]);
const peer = (address: string, isTrusted = trust): Peer => new Peer(address, 8080, "http", isTrusted);
const client = (headers: Record<string, string | string[]>, address = "10.0.0.1"): string =>
  peer(address).clientAddress(headerList(headers));

describe("trusted addresses", () => {
  it.each([
    ["10.1.2.3", true],
    ["11.1.2.3", false],
    ["192.0.2.1", true],
    ["192.0.2.2", false],
    ["::ffff:10.0.0.1", true],
    ["2001:db8:1::5", true],
    ["2001:db9::", false],
    ["::1", true],
    ["0:0:0:0:0:0:0:1", true],
    ["not an address", false],
    ["", false],
  ])("%s: %s", (address, isTrusted) => expect(trust(address)).toBe(isTrusted));

  it("are none when none is listed", () => {
    expect(compileTrust([])("127.0.0.1")).toBe(false);
  });

  it("can be everybody", () => {
    const everybody = compileTrust(["0.0.0.0/0", "::/0"]);
    expect(["8.8.8.8", "2606::1", "::ffff:8.8.8.8"].map(everybody)).toEqual([true, true, true]);
  });

  it("must be addresses or ranges; the problem names the entry", () => {
    for (const entry of ["x", "10.0.0.0/33", "10.0.0.0/", "example.com", ""]) {
      try {
        compileTrust(["10.0.0.1", entry], "/trustedProxies");
        expect.unreachable();
      } catch (error) {
        expect((error as ConfigError).problems).toMatchObject([
          { code: "CONFIG_CIDR", pointer: "/trustedProxies/1" },
        ]);
      }
    }
  });
});

describe("an address", () => {
  it.each([
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["::ffff:1", "::ffff:1"],
    ["fe80::1%eth0", "fe80::1"],
    ["2001:db8::1", "2001:db8::1"],
    ["192.0.2.1", "192.0.2.1"],
    ["", ""],
  ])("in plain form: %s is %s", (address, plain) => expect(plainAddress(address)).toBe(plain));

  it.each([
    ["127.0.0.1", true],
    ["127.9.9.9", true],
    ["::1", true],
    ["::ffff:127.0.0.1", true],
    ["10.0.0.1", false],
    ["0.0.0.0", false],
    ["::", false],
    ["localhost", false],
  ])("is loopback: %s %s", (address, expected) => expect(isLoopback(address)).toBe(expected));
});

describe("a peer", () => {
  it("knows the connection", () => {
    expect(peer("::ffff:10.0.0.1")).toMatchObject({
      address: "10.0.0.1",
      localPort: "8080",
      scheme: "http",
      trusted: true,
    });
    expect(peer("8.8.8.8").trusted).toBe(false);
  });

  it("is an element of Forwarded, made once for an authority", () => {
    const v4 = peer("8.8.8.8");
    const element = v4.forwardedElement("a.test");
    expect(element).toBe('for=8.8.8.8;host="a.test";proto=http');
    expect(v4.forwardedElement("a.test")).toBe(element);
    expect(v4.forwardedElement("b.test:1")).toBe('for=8.8.8.8;host="b.test:1";proto=http');
    expect(peer("2001:db8::1").forwardedElement("a.test")).toBe(
      'for="[2001:db8::1]";host="a.test";proto=http',
    );
  });
});

describe("the client's address", () => {
  it("is the peer's when the peer is not trusted, whatever it says", () => {
    expect(client({ "x-forwarded-for": "1.1.1.1", forwarded: "for=1.1.1.1" }, "8.8.8.8")).toBe("8.8.8.8");
  });

  it.each<[string, Record<string, string | string[]>, string]>([
    ["nothing is said", {}, "10.0.0.1"],
    ["one address", { "x-forwarded-for": "1.1.1.1" }, "1.1.1.1"],
    ["the last that is not trusted", { "x-forwarded-for": "6.6.6.6, 1.1.1.1, 10.0.0.2" }, "1.1.1.1"],
    ["several lines", { "x-forwarded-for": ["6.6.6.6", "1.1.1.1", "10.0.0.2"] }, "1.1.1.1"],
    ["only trusted ones: the first", { "x-forwarded-for": "10.0.0.3, 10.0.0.2" }, "10.0.0.3"],
    ["a port", { "x-forwarded-for": "1.1.1.1:5000" }, "1.1.1.1"],
    ["IPv6", { "x-forwarded-for": "2606::1" }, "2606::1"],
    ["IPv6 in brackets, with a port", { "x-forwarded-for": "[2606::1]:5000" }, "2606::1"],
    ["IPv6 in brackets", { "x-forwarded-for": "[2606::1]" }, "2606::1"],
    ["IPv4 in IPv6", { "x-forwarded-for": "::ffff:1.1.1.1" }, "1.1.1.1"],
    ["trusted IPv6 between", { "x-forwarded-for": "1.1.1.1, 2001:db8::5" }, "1.1.1.1"],
    [
      "what is not an address ends the chain",
      { "x-forwarded-for": "1.1.1.1, unknown, 10.0.0.2" },
      "10.0.0.2",
    ],
    ["half an address", { "x-forwarded-for": "10.1" }, "10.0.0.1"],
    ["octal numbers", { "x-forwarded-for": "012.1.1.1" }, "10.0.0.1"],
    ["hexadecimal numbers", { "x-forwarded-for": "0x08.1.1.1" }, "10.0.0.1"],
    ["an empty value", { "x-forwarded-for": "" }, "10.0.0.1"],
    ["Forwarded", { forwarded: "for=1.1.1.1;proto=https" }, "1.1.1.1"],
    ["Forwarded in any case, quoted", { forwarded: 'By=x; FOR="[2606::1]:80"' }, "2606::1"],
    ["several elements of Forwarded", { forwarded: ["for=6.6.6.6, for=1.1.1.1", "for=10.0.0.2"] }, "1.1.1.1"],
    ["Forwarded without for", { forwarded: "proto=https" }, "10.0.0.1"],
    ["Forwarded with a hidden name", { forwarded: "for=_hidden" }, "10.0.0.1"],
    ["both: X-Forwarded-For counts", { "x-forwarded-for": "1.1.1.1", forwarded: "for=2.2.2.2" }, "1.1.1.1"],
  ])("as a trusted proxy says it: %s", (_what, headers, address) => expect(client(headers)).toBe(address));

  it("is never one that only the client says, whatever it writes before the proxy's word", () => {
    fc.assert(
      fc.property(fc.string(), (claim) => {
        expect(client({ "x-forwarded-for": `${claim}, 1.1.1.1` })).toBe("1.1.1.1");
      }),
    );
  });
});

describe("the client's scheme", () => {
  const scheme = (headers: Record<string, string>, address = "10.0.0.1"): string =>
    peer(address).clientScheme(headerList(headers));

  it.each<[Record<string, string>, string]>([
    [{}, "http"],
    [{ "x-forwarded-proto": "https" }, "https"],
    [{ "x-forwarded-proto": " HTTPS , http" }, "https"],
    [{ "x-forwarded-proto": "wss" }, "http"],
    [{ forwarded: "for=1.1.1.1; Proto=https" }, "https"],
    [{ forwarded: 'proto="ht\\tps"' }, "https"],
    [{ forwarded: "for=1.1.1.1" }, "http"],
    [{ "x-forwarded-proto": "http", forwarded: "proto=https" }, "http"],
  ])("as a trusted proxy says it: %j", (headers, expected) => expect(scheme(headers)).toBe(expected));

  it("is the connection's when the peer is not trusted", () => {
    expect(scheme({ "x-forwarded-proto": "https" }, "8.8.8.8")).toBe("http");
    expect(new Peer("8.8.8.8", 1, "https", trust).clientScheme(headerList({}))).toBe("https");
  });
});
