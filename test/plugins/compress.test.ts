import { createHash } from "node:crypto";
import { brotliCompressSync, brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { type Body, BytesBody, collect, QueuedBody } from "../../core/body.ts";
import { GatewayError } from "../../core/errors.ts";
import { Reply } from "../../core/reply.ts";
import { compress } from "../../plugins/compress.ts";
import { bodyText, buildStage, exchange, headerList, type RequestInit, reply } from "../support/harness.ts";

const TEXT = "All work and no play makes Jack a dull boy. ".repeat(100);
const JSON_TYPE = { "content-type": "application/json" };

type Headers = NonNullable<RequestInit["headers"]>;

interface Send extends RequestInit {
  accept?: string;
  options?: object;
}

/** Sends a request that accepts gzip to an upstream that answers `upstream`. */
async function send(
  upstream: Reply,
  { accept = "gzip", options = {}, ...request }: Send = {},
): Promise<Reply> {
  const handler = await buildStage(compress, { ...options }, () => upstream);
  const headers = { ...(accept === "" ? {} : { "accept-encoding": accept }), ...request.headers };
  return handler(exchange({ ...request, headers }));
}

const page = (headers: Headers = JSON_TYPE, body: string | Buffer = TEXT, status = 200): Reply =>
  reply(status, headers, body);

const streamed = (text: string | Buffer, headers: Headers = JSON_TYPE): Reply => {
  const body = new QueuedBody({ pause() {}, resume() {}, abort() {} }, undefined);
  body.push(Buffer.from(text));
  body.finish();
  return new Reply(200, headerList(headers), body);
};

const coding = (out: Reply): string | undefined => out.headers.get("content-encoding");
const bytesOf = (out: Reply): Promise<Buffer> => collect(out.body!, 1e9);

describe("a compressible reply", () => {
  it.each([
    ["gzip", gunzipSync],
    ["br", brotliDecompressSync],
    ["zstd", zstdDecompressSync],
  ] as const)("is compressed with %s when the client accepts that", async (name, decompress) => {
    for (const upstream of [page(), streamed(TEXT), page(JSON_TYPE, TEXT.repeat(20))]) {
      const before = upstream.body?.length;
      const out = await send(upstream, { accept: name });
      expect(coding(out)).toBe(name);
      expect(out.headers.getJoined("vary")).toBe("Accept-Encoding");
      const length = out.headers.get("content-length");
      const bytes = await bytesOf(out);
      expect(decompress(bytes).toString()).toBe(TEXT.repeat((before ?? 0) > 32_768 ? 20 : 1));
      expect(bytes.length).toBeLessThan(500);
      if (length !== undefined) expect(Number(length)).toBe(bytes.length);
    }
  });

  it("has the new length when small and none when it streams", async () => {
    expect((await send(page())).headers.has("content-length")).toBe(true);
    for (const upstream of [streamed(TEXT), page(JSON_TYPE, TEXT.repeat(20))]) {
      const out = await send(upstream);
      expect(out.headers.has("content-length")).toBe(false);
      expect(out.body?.length).toBeUndefined();
    }
  });

  it("keeps status, other headers and the ETag's meaning, and loses what described the old bytes", async () => {
    const upstream = page(
      {
        ...JSON_TYPE,
        ETag: '"v1"',
        "Content-MD5": "x",
        Digest: "sha-256=x",
        "Content-Digest": "sha-256=:x:",
        "Repr-Digest": "sha-256=:x:",
        "Accept-Ranges": "bytes",
        "Cache-Control": "max-age=5",
        Vary: "Origin",
      },
      TEXT,
      404,
    );
    const out = await send(upstream);
    expect(out.status).toBe(404);
    const names = out.headers.raw.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
    expect(names.sort()).toEqual([
      "cache-control",
      "content-encoding",
      "content-length",
      "content-type",
      "etag",
      "vary",
    ]);
    expect(out.headers.get("etag")).toBe('W/"v1"');
    expect(out.headers.getJoined("vary")).toBe("Origin, Accept-Encoding");
  });

  it("can still be read by a stage above", async () => {
    for (const upstream of [page(), streamed(TEXT)]) {
      expect((await (await send(upstream)).readBody(1e6)).toString()).toBe(TEXT);
    }
  });

  it("is left when the client says nothing or wants none of our codings, but varies", async () => {
    for (const accept of ["", "deflate", "identity", "gzip;q=0"]) {
      const out = await send(page(), { accept });
      expect(coding(out)).toBeUndefined();
      expect(await bodyText(out)).toBe(TEXT);
      expect(out.headers.get("content-length")).toBe(String(TEXT.length));
      expect(out.headers.getJoined("vary")).toBe("Accept-Encoding");
    }
  });

  it("goes by what the client sent, whatever stages below change", async () => {
    const handler = await buildStage(compress, {}, (x) => {
      x.headers.set("accept-encoding", "identity");
      return page();
    });
    expect(coding(await handler(exchange({ headers: { "accept-encoding": "gzip" } })))).toBe("gzip");
  });

  it("is left when compressing makes it no smaller", async () => {
    const out = await send(page(JSON_TYPE, "[1,2]"), { options: { minSize: "0B" } });
    expect(coding(out)).toBeUndefined();
    expect(await bodyText(out)).toBe("[1,2]");
    expect(out.headers.get("content-length")).toBe("5");
  });
});

describe("left as it is", () => {
  const untouched = async (upstream: Reply, request: Send = {}): Promise<Reply> => {
    const { body } = upstream;
    const { raw } = upstream.headers.clone();
    const out = await send(upstream, request);
    expect(out.body).toBe(body);
    out.headers.delete("vary");
    expect(out.headers.raw).toEqual(raw);
    return out;
  };

  it("a reply that has a coding already", async () => {
    const upstream = page({ ...JSON_TYPE, "Content-Encoding": "br" }, brotliCompressSync(TEXT.repeat(500)));
    await untouched(upstream);
    const doubled = await send(page({ ...JSON_TYPE, "Content-Encoding": "br" }, TEXT));
    expect(coding(doubled)).toBe("br");
    expect(doubled.headers.getJoined("vary")).toBe("Accept-Encoding");
  });

  it("but not one whose coding is identity", async () => {
    expect(coding(await send(page({ ...JSON_TYPE, "Content-Encoding": "Identity" })))).toBe("gzip");
  });

  it("a partial reply", async () => {
    await untouched(page({ ...JSON_TYPE, "content-range": "bytes 0-4399/9999" }, TEXT, 206));
    await untouched(page(JSON_TYPE, TEXT, 206));
    await untouched(page({ ...JSON_TYPE, "content-range": "bytes 0-4399/9999" }));
  });

  it("a reply, or one to a request, with no-transform", async () => {
    for (const value of ["no-transform", "max-age=5, No-Transform"]) {
      await untouched(page({ ...JSON_TYPE, "Cache-Control": value }));
      await untouched(page(), { headers: { "cache-control": value } });
    }
    expect(coding(await send(page({ ...JSON_TYPE, "Cache-Control": "no-transformers" })))).toBe("gzip");
  });

  it("an event stream and other streams, even when types say otherwise", async () => {
    for (const type of [
      "text/event-stream",
      "Text/Event-Stream;charset=utf-8",
      "application/grpc-web+json",
    ]) {
      const options = { types: ["*/*"] };
      const out = await untouched(streamed(TEXT, { "content-type": type }), {
        options,
        accept: "gzip, identity;q=0",
      });
      expect(out.headers.has("vary")).toBe(false);
    }
  });

  it("a reply to HEAD, which varies nevertheless", async () => {
    const upstream = new Reply(200, headerList({ ...JSON_TYPE, "content-length": "4400" }));
    expect((await send(upstream, { method: "HEAD" })).headers.getJoined("vary")).toBe("Accept-Encoding");
    await untouched(page(), { method: "HEAD" });
  });

  it("a reply without a body", async () => {
    for (const status of [204, 205, 304, 103]) await untouched(page(JSON_TYPE, TEXT, status));
    await untouched(new Reply(200, headerList(JSON_TYPE)));
    await untouched(new Reply(200, headerList(JSON_TYPE), new BytesBody(Buffer.alloc(0))), {
      accept: "gzip, identity;q=0",
    });
  });

  it("a reply of a type that is not listed or not said, which does not vary", async () => {
    for (const headers of [{ "content-type": "image/png" }, {}] as Headers[]) {
      const out = await send(page(headers));
      expect(coding(out)).toBeUndefined();
      expect(out.headers.has("vary")).toBe(false);
    }
  });
});

describe("a client that refuses replies without a coding", () => {
  it("gets small and unlisted ones compressed too", async () => {
    for (const upstream of [
      page(JSON_TYPE, "{}"),
      page({ "content-type": "image/png" }, "png"),
      page({}, "x"),
    ]) {
      const out = await send(upstream, { accept: "gzip, identity;q=0" });
      expect(coding(out)).toBe("gzip");
      expect(out.headers.getJoined("vary")).toBe("Accept-Encoding");
    }
  });

  it("gets the reply as it is when none of the codings is acceptable either", async () => {
    const out = await send(page(), { accept: "identity;q=0" });
    expect(coding(out)).toBeUndefined();
    expect(await bodyText(out)).toBe(TEXT);
  });
});

describe("a 304", () => {
  it("names the copy that the client has", async () => {
    const answer = async (ifNoneMatch: string, etag = '"v1"') =>
      (await send(page({ ETag: etag }, "", 304), { headers: { "if-none-match": ifNoneMatch } })).headers;
    expect((await answer('W/"v1"')).get("etag")).toBe('W/"v1"');
    expect((await answer('W/"v1"')).getJoined("vary")).toBe("Accept-Encoding");
    expect((await answer('"v0", W/"v1"')).get("etag")).toBe('W/"v1"');
    expect((await answer('"v1"')).get("etag")).toBe('"v1"');
    expect((await answer('W/"v0"')).get("etag")).toBe('"v1"');
    expect((await answer('W/"v1"', 'W/"v1"')).get("etag")).toBe('W/"v1"');
  });
});

describe("encodings", () => {
  const accept = "gzip, br, zstd";

  it("are the codings used, the preferred first", async () => {
    expect(coding(await send(page(), { accept }))).toBe("zstd");
    expect(coding(await send(page(), { accept, options: { encodings: ["br", "gzip"] } }))).toBe("br");
    expect(coding(await send(page(), { accept, options: { encodings: ["gzip"] } }))).toBe("gzip");
    expect(coding(await send(page(), { accept: "br", options: { encodings: ["gzip"] } }))).toBeUndefined();
  });

  it("come after the client's weights", async () => {
    expect(coding(await send(page(), { accept: "zstd;q=0.5, gzip" }))).toBe("gzip");
  });

  it("are refused when empty, doubled or unknown", async () => {
    for (const encodings of [[], ["gzip", "gzip"], ["deflate"]]) {
      await expect(buildStage(compress, { encodings })).rejects.toThrow("/encodings");
    }
  });
});

describe("levels", () => {
  const words = Array.from({ length: 3000 }, (_, i) => {
    const hash = createHash("sha1").update(String(i)).digest("hex");
    return `{"id":"${hash.slice(0, 8)}","kind":"${hash[9]! > "7" ? "customer" : "supplier"}","n":${i}}`;
  }).join();

  it.each([
    ["gzip", 1, 9],
    ["br", 1, 11],
    ["zstd", 1, 19],
  ] as const)("of %s make bodies smaller, in one go and streaming", async (name, low, high) => {
    for (const upstream of [() => page(JSON_TYPE, words.slice(0, 30_000)), () => streamed(words)]) {
      const at = async (level: number) =>
        (await bytesOf(await send(upstream(), { accept: name, options: { levels: { [name]: level } } })))
          .length;
      expect(await at(high)).toBeLessThan(await at(low));
    }
  });

  it("stream even small bodies when they would hold up the thread", async () => {
    const out = await send(page(), { accept: "br", options: { levels: { br: 11 } } });
    expect(out.body?.length).toBeUndefined();
    expect(brotliDecompressSync(await bytesOf(out)).toString()).toBe(TEXT);
  });

  it("are refused out of range", async () => {
    for (const levels of [{ gzip: 0 }, { gzip: 10 }, { br: 12 }, { zstd: 20 }, { zstd: 0 }, { lzma: 1 }]) {
      await expect(buildStage(compress, { levels })).rejects.toThrow("/levels");
    }
  });
});

describe("minSize", () => {
  const at = async (length: number, options: object = {}) =>
    coding(await send(page(JSON_TYPE, TEXT.slice(0, length)), { options }));

  it("is 1 KB by default", async () => {
    expect(await at(1023)).toBeUndefined();
    expect(await at(1024)).toBe("gzip");
  });

  it("can be changed", async () => {
    expect(await at(200, { minSize: "100B" })).toBe("gzip");
    expect(await at(2000, { minSize: "2KB" })).toBeUndefined();
  });

  it("does not count for bodies of unknown length", async () => {
    expect(coding(await send(streamed("{}")))).toBe("gzip");
  });
});

describe("types", () => {
  const compresses = async (type: string, options: object = {}) =>
    coding(await send(page({ "content-type": type }), { options })) === "gzip";

  it("are texts, JSON, XML, scripts and the like by default", async () => {
    for (const type of [
      "text/html; charset=utf-8",
      "text/css",
      "application/json",
      "application/problem+json",
      "application/javascript",
      "text/javascript",
      "application/xml",
      "application/atom+xml",
      "image/svg+xml",
      "application/wasm",
      "application/yaml",
      "font/ttf",
    ]) {
      expect(await compresses(type), type).toBe(true);
    }
    for (const type of [
      "image/png",
      "video/mp4",
      "application/zip",
      "font/woff2",
      "application/octet-stream",
    ]) {
      expect(await compresses(type), type).toBe(false);
    }
  });

  it("can be changed", async () => {
    const options = { types: ["application/octet-stream", "*+custom"] };
    expect(await compresses("application/octet-stream", options)).toBe(true);
    expect(await compresses("application/a+custom", options)).toBe(true);
    expect(await compresses("text/html", options)).toBe(false);
    for (const type of ["text", "*", "text/html; charset=utf-8", "*/json"]) {
      await expect(buildStage(compress, { types: [type] })).rejects.toThrow("/types");
    }
  });
});

describe("flushAfter", () => {
  it("decides how long a piece may wait for the next", async () => {
    const firstPiece = async (flushAfter: string): Promise<Buffer[]> => {
      const source = new QueuedBody({ pause() {}, resume() {}, abort() {} }, undefined);
      const out = await send(new Reply(200, headerList(JSON_TYPE), source), { options: { flushAfter } });
      const chunks: Buffer[] = [];
      const flushed = new Promise<void>((resolve) => {
        out.body!.start({
          write: (chunk) => {
            chunks.push(chunk);
            if (Buffer.concat(chunks).length > 10) resolve(); // more than gzip's own header
            return true;
          },
          end() {},
          fail() {},
        });
      });
      source.push(Buffer.from("tick"));
      await Promise.race([flushed, flushAfter === "1h" ? turns(50) : flushed]);
      out.body!.cancel();
      return chunks;
    };
    expect(Buffer.concat(await firstPiece("0s")).length).toBeGreaterThan(10);
    expect(Buffer.concat(await firstPiece("1ms")).length).toBeGreaterThan(10);
    expect(Buffer.concat(await firstPiece("1h")).length).toBeLessThanOrEqual(10);
  });
});

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe("failure", () => {
  it("of a stage below passes through", async () => {
    const failure = new GatewayError("UPSTREAM_TIMEOUT");
    const handler = await buildStage(compress, {}, () => Promise.reject(failure));
    await expect(Promise.resolve(handler(exchange()))).rejects.toBe(failure);
  });

  it("of a small body is a 502, as nothing was sent yet", async () => {
    const source = new QueuedBody({ pause() {}, resume() {}, abort() {} }, 4400);
    const sent = send(new Reply(200, headerList(JSON_TYPE), source));
    source.push(Buffer.from("half"));
    source.break(new Error("upstream gone"));
    await expect(sent).rejects.toMatchObject({ status: 502 });
  });

  it("of a streaming body breaks the reply off", async () => {
    const source = new QueuedBody({ pause() {}, resume() {}, abort() {} }, undefined);
    const out = await send(new Reply(200, headerList(JSON_TYPE), source));
    const read = collect(out.body!, 1e6);
    source.push(Buffer.from("half"));
    source.break(new Error("upstream gone"));
    await expect(read).rejects.toThrow("upstream gone");
  });

  it("of the client cancels the upstream's body", async () => {
    const aborted: Error[] = [];
    const source = new QueuedBody({ pause() {}, resume() {}, abort: (e) => aborted.push(e) }, undefined);
    const out = await send(new Reply(200, headerList(JSON_TYPE), source as Body));
    const reason = new Error("client gone");
    out.body!.cancel(reason);
    expect(aborted).toEqual([reason]);
  });
});
