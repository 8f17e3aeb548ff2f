import { gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { type Body, BytesBody, collect, type Producer, QueuedBody } from "../../core/body.ts";
import { GatewayError } from "../../core/errors.ts";
import { type Message, STALE_AFTER_EDIT, weakenEtag } from "../../core/message.ts";
import { exchange, headerList, reply, type RequestInit } from "../support/harness.ts";

const SIDES = {
  request: {
    create: (headers: RequestInit["headers"], body: Body): Message =>
      exchange({ headers: headers ?? {}, body }),
    codes: ["BODY_TOO_LARGE", "BODY_INVALID", "BODY_ENCODING_UNSUPPORTED"],
  },
  reply: {
    create(headers: RequestInit["headers"], body: Body): Message {
      const message = reply(200, headers);
      message.body = body;
      return message;
    },
    codes: ["UPSTREAM_BODY_TOO_LARGE", "UPSTREAM_BODY_INVALID", "UPSTREAM_BODY_INVALID"],
  },
};

const bytes = (text: string): BytesBody => new BytesBody(Buffer.from(text));

/** A body of unknown length that is all there. */
function queued(...chunks: string[]) {
  const told: string[] = [];
  const producer: Producer = { pause() {}, resume() {}, abort: (reason) => void told.push(reason.message) };
  const body = new QueuedBody(producer, undefined);
  for (const chunk of chunks) body.push(Buffer.from(chunk));
  return { body, told };
}

describe.each(Object.entries(SIDES))("the body of a %s", (_side, { create, codes }) => {
  const [tooLarge, invalid, unknownCoding] = codes;

  it("is read whole, and travels on as it came", async () => {
    const { body } = queued("a", "b");
    body.finish();
    const message = create({}, body);
    expect((await message.readBody(2)).toString()).toBe("ab");
    expect((await message.readBody(2)).toString()).toBe("ab");
    expect((await collect(message.body!, 10)).toString()).toBe("ab");
  });

  it("is read with its codings undone, while the bytes that travel on stay encoded", async () => {
    const encoded = zstdCompressSync(gzipSync("plain"));
    const message = create({ "content-encoding": ["gzip", "zstd"] }, new BytesBody(encoded));
    expect((await message.readBody(100)).toString()).toBe("plain");
    expect((await collect(message.body!, 1000)).equals(encoded)).toBe(true);
    expect(message.headers.getJoined("content-encoding")).toBe("gzip, zstd");
  });

  it("can be held as it travels, up to a limit", async () => {
    const encoded = gzipSync("plain");
    const message = create({ "content-encoding": "unheard-of" }, new BytesBody(encoded));
    expect((await message.bufferBody(encoded.length)).equals(encoded)).toBe(true);
    expect((await message.bufferBody(encoded.length)).equals(encoded)).toBe(true);
    expect((await collect(message.body!, 1000)).equals(encoded)).toBe(true);
    await expect(message.bufferBody(encoded.length - 1)).rejects.toMatchObject({ code: tooLarge });
    await expect(collect(message.body!, 1000)).rejects.toMatchObject({ code: tooLarge });
  });

  it("is no bytes when there is none", async () => {
    const message = create({}, bytes(""));
    message.body = null;
    expect((await message.readBody(0)).length).toBe(0);
    expect(message.body).toBeNull();
  });

  it("is refused when it is larger than the cap, as it came or decoded", async () => {
    const plain = create({}, bytes("abc"));
    await expect(plain.readBody(2)).rejects.toMatchObject({ code: tooLarge });
    const bomb = create({ "content-encoding": "gzip" }, new BytesBody(gzipSync(Buffer.alloc(10_000))));
    await expect(bomb.readBody(9999)).rejects.toMatchObject({
      code: tooLarge,
      detail: "The body is larger than 9999 bytes",
    });
  });

  it("is refused by a second reader with a smaller cap", async () => {
    const message = create({}, bytes("abc"));
    await message.readBody(10);
    await expect(message.readBody(2)).rejects.toMatchObject({ code: tooLarge });
    expect((await message.readBody(3)).toString()).toBe("abc");
  });

  it("is refused when it is damaged or in an unknown coding; the bytes can still travel on", async () => {
    for (const [coding, code] of [
      ["gzip", invalid],
      ["what", unknownCoding],
    ] as const) {
      const message = create({ "content-encoding": coding }, bytes("xyz"));
      await expect(message.readBody(100)).rejects.toMatchObject({ code });
      expect((await collect(message.body!, 100)).toString()).toBe("xyz");
    }
  });

  it("fails with the gateway's own error, or with a code for any other", async () => {
    for (const [error, code] of [
      [new GatewayError("REQUEST_TIMEOUT"), "REQUEST_TIMEOUT"],
      [new Error("reset"), invalid],
    ] as const) {
      const { body } = queued();
      const message = create({}, body);
      const result = message.readBody(100);
      body.break(error);
      await expect(result).rejects.toMatchObject({ code });
    }
  });

  it("is lost when it could not be read whole: what is left never passes for a body", async () => {
    const { body, told } = queued("abc");
    body.finish();
    const complete = create({}, body);
    await expect(complete.readBody(2)).rejects.toMatchObject({ code: tooLarge });
    await expect(collect(complete.body!, 100)).rejects.toMatchObject({ code: tooLarge });
    expect(told).toEqual([]);

    const streaming = queued("abc");
    const message = create({}, streaming.body);
    await expect(message.readBody(2)).rejects.toMatchObject({ code: tooLarge });
    expect(streaming.told).toEqual(["The body is larger than 2 bytes"]);
    await expect(message.readBody(100)).rejects.toMatchObject({ code: tooLarge });
  });

  it("is replaced by setBody, which corrects what described the old one", async () => {
    const { body, told } = queued("abc");
    const message = create(
      {
        "content-length": "99",
        "content-type": "text/plain",
        etag: '"1"',
        ...Object.fromEntries(STALE_AFTER_EDIT.map((n) => [n, "x"])),
      },
      body,
    );
    message.setBody("né");
    expect(told).toEqual(["body not wanted"]);
    expect(message.headers.raw).toEqual([
      "content-length",
      "3",
      "content-type",
      "text/plain",
      "etag",
      'W/"1"',
    ]);
    expect((await collect(message.body!, 100)).toString()).toBe("né");
    expect((await message.readBody(3)).toString()).toBe("né");
    message.setBody(Buffer.from("x"));
    expect(message.headers.get("content-length")).toBe("1");
    expect((await message.readBody(3)).toString()).toBe("x");
  });

  it("can be set where there was none", async () => {
    const message = create({}, bytes(""));
    message.body = null;
    message.setBody("a");
    expect(message.headers.get("content-length")).toBe("1");
    expect(message.body!.length).toBe(1);
  });
});

describe("weakenEtag", () => {
  it("makes a strong tag weak, and leaves a weak one and none alone", () => {
    for (const [before, after] of [
      ['"a"', 'W/"a"'],
      ['W/"a"', 'W/"a"'],
      [undefined, undefined],
    ]) {
      const headers = headerList(before === undefined ? {} : { etag: before });
      weakenEtag(headers);
      expect(headers.get("etag")).toBe(after);
    }
  });
});
