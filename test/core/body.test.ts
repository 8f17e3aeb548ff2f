import { PassThrough, Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { BytesBody, collect, StreamBody, toReadable } from "../../core/body.ts";

describe("StreamBody", () => {
  it("fails a sink that comes after the stream was closed", async () => {
    for (const reason of [undefined, new Error("broken")]) {
      const stream = new PassThrough();
      const body = new StreamBody(stream);
      const closed = new Promise((resolve) => stream.once("close", resolve));
      stream.destroy(reason);
      await closed;
      await expect(collect(body, 10)).rejects.toThrow(reason?.message ?? "stream closed early");
    }
  });

  it("gives what the stream gives, and a body is a stream again", async () => {
    const chunks = [Buffer.from("ab"), Buffer.from("cd")];
    expect((await collect(new StreamBody(Readable.from(chunks)), 10)).toString()).toBe("abcd");
    const again = new StreamBody(toReadable(new BytesBody(Buffer.from("abcd"))));
    expect((await collect(again, 10)).toString()).toBe("abcd");
  });
});
