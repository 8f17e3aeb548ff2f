import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { GatewayError } from "../../../core/errors.ts";
import type { Exchange } from "../../../core/exchange.ts";
import type { Reply } from "../../../core/reply.ts";
import { applyToReply, applyToRequest, EditReader, parseEdits } from "../../../core/script/edits.ts";
import { bodyText, exchange, reply } from "../../support/harness.ts";

const codeOf = (run: () => unknown): string => {
  try {
    run();
    return "none";
  } catch (error) {
    return (error as GatewayError).code;
  }
};

const editRequest = (x: Exchange, text: string, script: string): Reply | undefined =>
  applyToRequest(x, parseEdits(text), script);
const editReply = (x: Exchange, given: Reply, text: string, script: string): void =>
  applyToReply(x, given, parseEdits(text), script);

describe("edits of a request", () => {
  it("set, append and delete headers, in order", () => {
    const x = exchange({ headers: ["X-A", "1", "X-B", "2"] });
    editRequest(x, "sx-a:3\nax-a:4\ndx-b\nsx-c:a:b\n", "s");
    expect(x.headers.raw).toEqual(["X-A", "3", "x-a", "4", "x-c", "a:b"]);
  });

  it("change path and query", () => {
    const x = exchange({ target: "/old?a=1" });
    editRequest(x, "u/new/%20path?b=%C3%A4\n", "s");
    expect([x.path, x.search, x.originalPath]).toEqual(["/new/%20path", "?b=%C3%A4", "/old"]);
    editRequest(x, "u/bare\n", "s");
    expect([x.path, x.search]).toEqual(["/bare", ""]);
  });

  it.each([
    ["bt2:hä\n", "hä"],
    ['bj7:{"a":1}\n', '{"a":1}'],
    ["bx3:\0\xff\n\n", "\0\xff\n"],
  ])("replace the body by %j", async (edits, body) => {
    const x = exchange({ method: "POST", body: "old" });
    editRequest(x, edits, "s");
    expect((await x.readBody(100)).toString(edits.startsWith("bx") ? "latin1" : "utf8")).toBe(body);
    expect(x.headers.get("content-length")).toBe(
      String(Buffer.byteLength(body, edits[1] === "x" ? "latin1" : "utf8")),
    );
  });

  it("are made all or not at all when the url is not valid", () => {
    const x = exchange({ target: "/old", headers: ["x-a", "1"] });
    for (const url of ["/a/../b", "/a/%2e%2E/b", "/a%00", "a", "/a b"]) {
      expect(codeOf(() => editRequest(x, `sx-a:2\nS{}\nu${url}\n`, "s"))).toBe("SCRIPT_OUTPUT");
    }
    expect([x.path, x.headers.raw, x.scriptStates]).toEqual(["/old", ["x-a", "1"], undefined]);
  });

  it("keep the script's state, and that of others", () => {
    const x = exchange();
    editRequest(x, 'S{"a":1}\n', "one");
    editRequest(x, 'S{"b":2}\n', "two");
    expect([...x.scriptStates!]).toEqual([
      ["one", '{"a":1}'],
      ["two", '{"b":2}'],
    ]);
  });

  it("make a reply of their own, with a type for its body", async () => {
    const made = editRequest(exchange(), "R201\nax-y:1\nax-y:2\nbj2:{}\n", "s")!;
    expect(made.status).toBe(201);
    expect(made.headers.raw).toEqual([
      "x-y",
      "1",
      "x-y",
      "2",
      "content-type",
      "application/json",
      "content-length",
      "2",
    ]);
    expect(await bodyText(made)).toBe("{}");
  });

  it.each([204, 205, 304])("make a reply without a body for status %i", (status) => {
    const made = editRequest(exchange(), `R${status}\nbt4:gone\n`, "s")!;
    expect([made.body, made.headers.raw]).toEqual([null, []]);
  });
});

describe("edits of a reply", () => {
  it("change status, headers and body, and drop the reason", async () => {
    const given = reply(200, { "content-type": "text/plain" }, "old");
    given.reason = "Fine";
    editReply(exchange(), given, "sx-a:1\nc404\nbt3:new\n", "s");
    expect([given.status, given.reason, given.headers.get("x-a"), await bodyText(given)]).toEqual([
      404,
      undefined,
      "1",
      "new",
    ]);
  });
});

describe("edits that a script has forged", () => {
  it.each([
    ["shost:evil\n", "Host"],
    ["scontent-length:5\n", "a framing header"],
    ["dtransfer-encoding\n", "a framing header, deleted"],
    ["sx-consumer-name:root\n", "who asks"],
    ["ax_consumer-roles:admin\n", "what the consumer may do, in other letters"],
    ["dx-consumer-name\n", "who asks, deleted"],
    ["aconnection:close\n", "a hop-by-hop header"],
    ["sX-A:1\n", "a name in capitals"],
    ["sx a:1\n", "a name with a blank"],
    ["s:1\n", "no name"],
    ["sx-a\n", "no colon"],
    ["sx-a:a\rb\n", "a value with CR"],
    ["sx-a:a\0b\n", "a value with NUL"],
    ["sx-a:\u0100\n", "a value beyond Latin-1"],
    ["sx-a:1", "an end that is cut off"],
    ["uhttp://evil/\n", "an absolute url"],
    ["u//evil\r\n", "a url with CR"],
    ["u/a/../b\n", "dot segments"],
    ["u/%2e%2e/b\n", "dot segments, escaped"],
    ["u/a%00\n", "NUL, escaped"],
    ["u/a#b\n", "a fragment"],
    ["u/ä\n", "a url beyond ASCII"],
    ["c100\n", "a status on a request"],
    ["R199\n", "an informational reply"],
    ["R600\n", "a status that does not exist"],
    ["R2000\n", "a status of four digits"],
    ["bq1:x\n", "a kind of body that does not exist"],
    ["bt1:xy\n", "a body that is longer than it says"],
    ["bt5:x\n", "a body that is cut off"],
    ["bt:x\n", "a body without a length"],
    ["bt-1:x\n", "a body of a negative length"],
    ["bt1e9:x\n", "a body of an odd length"],
    ["bconstructor1:x\n", "a body of a kind that is not its own"],
    ["S5\n", "a state that is no object"],
    ["S{\n", "a state that is no JSON"],
    ["zz\n", "an edit that does not exist"],
    ["\n", "an empty line"],
  ])("are refused: %j (%s)", (edits) => {
    expect(codeOf(() => editRequest(exchange({ target: "/a" }), edits, "s"))).toBe("SCRIPT_OUTPUT");
  });

  it("are refused when they are huge", () => {
    for (const edits of [`u/${"a".repeat(20_000)}\n`, `S{"a":"${"x".repeat(70_000)}"}\n`]) {
      expect(codeOf(() => editRequest(exchange(), edits, "s"))).toBe("SCRIPT_OUTPUT");
    }
  });

  it.each(["u/x\n", "R200\n", "c600\n", "cNaN\n"])("are refused on a reply: %j", (edits) => {
    expect(codeOf(() => editReply(exchange(), reply(200), edits, "s"))).toBe("SCRIPT_OUTPUT");
  });

  it("never do anything but what edits can, whatever the text", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", maxLength: 60 }),
        fc.constantFrom("s", "a", "d", "u", "R", "b", ""),
        (text, letter) => {
          const x = exchange({ target: "/a" });
          try {
            editRequest(x, `${letter}${text}\n`, "s");
          } catch (error) {
            expect((error as GatewayError).code).toBe("SCRIPT_OUTPUT");
          }
          for (const part of x.headers.raw) expect(part).toMatch(/^[\t\x20-\x7e\x80-\xff]*$/);
          expect(x.path).toMatch(/^\/[!-~]*$/);
        },
      ),
    );
  });

  it("are looked at before any is made", () => {
    const x = exchange({ target: "/a" });
    expect(codeOf(() => editRequest(x, "sx-a:1\nshost:evil\n", "s"))).toBe("SCRIPT_OUTPUT");
    expect(x.headers.raw).toEqual([]);
    expect(parseEdits("sx-a:1\n").steps).toEqual(["s", "x-a", "1"]);
  });
});

describe("edits that are read again and again", () => {
  it("are the same until they are others, whatever came between", () => {
    const reader = new EditReader();
    const first = reader.read("sx-a:1\n");
    expect(reader.read("sx-a:1\n")).toBe(first);
    expect(codeOf(() => reader.read("sx-a\n"))).toBe("SCRIPT_OUTPUT");
    expect(reader.read("sx-a:2\n").steps).toEqual(["s", "x-a", "2"]);
    expect(reader.read("sx-a:1\n")).toEqual(first);
  });

  it("are read anew when they have a body, which may be changed, or are long", () => {
    const reader = new EditReader();
    for (const text of ["bt3:old\n", `sx-a:${"1".repeat(5000)}\n`]) {
      expect(reader.read(text)).not.toBe(reader.read(text));
    }
  });
});
