import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { BrokenBody, BytesBody } from "../../core/body.ts";
import { HeaderList } from "../../core/headers.ts";
import { Printed } from "../../core/printed.ts";
import { Reply } from "../../core/reply.ts";

const BODY = new BytesBody(Buffer.from("caf\u00e9", "latin1"));
const SETTINGS = {};
const HEAD = "HTTP/1.1 200 OK\r\nx: 1\r\n\r\n";

const same = (): Reply => new Reply(200, new HeaderList(["x", "1"]), BODY);

/** A response of Node's as far as it counts: with a head, or about to get one. */
function responseOf(more: object = {}) {
  const response = {
    _header: null as string | null,
    chunkedEncoding: false,
    shouldKeepAlive: true,
    isEnded: false,
    end() {
      this.isEnded = true;
    },
    ...more,
  };
  return response as typeof response & ServerResponse;
}

/** What has kept a reply, if it could. */
function printedBy(more: object = {}, reply = same()): Printed {
  const printed = new Printed();
  printed.keep(responseOf({ _header: HEAD, ...more }), reply, SETTINGS);
  return printed;
}

/** Whether the text is used. */
function writes(printed: Printed, reply: Reply, settings: object = SETTINGS, more: object = {}): boolean {
  const response = responseOf(more);
  const isWritten = printed.write(response, reply, settings);
  expect(response.isEnded).toBe(isWritten);
  expect(response._header).toBe(isWritten ? `${HEAD}caf\u00e9` : null);
  return isWritten;
}

describe("a reply in print", () => {
  it("is used for those that are the same", () => {
    expect(writes(printedBy(), same())).toBe(true);
    expect(writes(new Printed(), same())).toBe(false);
  });

  it("is not used for one that a stage has changed", () => {
    const changes: ((reply: Reply) => void)[] = [
      (reply) => reply.headers.set("y", "2"),
      (reply) => reply.headers.set("x", "2"),
      (reply) => reply.headers.delete("x"),
      (reply) => reply.setBody("caf\u00e9"),
      (reply) => {
        reply.body = null;
      },
      (reply) => {
        reply.status = 203;
      },
      (reply) => {
        reply.reason = "Fine";
      },
    ];
    const printed = printedBy();
    for (const change of changes) {
      const reply = same();
      change(reply);
      expect(writes(printed, reply)).toBe(false);
    }
    expect(writes(printed, same())).toBe(true);
  });

  it("is not used on connections that end, or that another listener has", () => {
    expect(writes(printedBy(), same(), SETTINGS, { shouldKeepAlive: false })).toBe(false);
    expect(writes(printedBy(), same(), {})).toBe(false);
  });

  it("is not kept of one that ends its connection, or whose body is chunked, large or not at hand", () => {
    expect(writes(printedBy({ shouldKeepAlive: false }), same())).toBe(false);
    expect(writes(printedBy({ chunkedEncoding: true }), same())).toBe(false);
    expect(writes(printedBy({ _header: undefined }), same())).toBe(false);
    const large = new Reply(200, new HeaderList(["x", "1"]), new BytesBody(Buffer.alloc(4097)));
    expect(writes(printedBy({}, large), large)).toBe(false);
    const streamed = new Reply(200, new HeaderList(["x", "1"]), new BrokenBody(new Error("")));
    expect(writes(printedBy({}, streamed), streamed)).toBe(false);
    expect(writes(printedBy(), streamed)).toBe(false);
  });

  it("has no body when the reply has none, and is used for none that has one", () => {
    const empty = new Reply(304, new HeaderList(["x", "1"]));
    const printed = printedBy({}, empty);
    const response = responseOf();
    expect(printed.write(response, empty, SETTINGS)).toBe(true);
    expect(response._header).toBe(HEAD);
    const streamed = new Reply(304, new HeaderList(["x", "1"]), new BrokenBody(new Error("")));
    expect(printed.write(responseOf(), streamed, SETTINGS)).toBe(false);
    expect(printed.write(responseOf(), new Reply(304, new HeaderList(["x", "1"]), BODY), SETTINGS)).toBe(
      false,
    );
  });
});
