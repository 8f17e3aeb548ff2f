import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileTypes } from "../../../plugins/compress/media-types.ts";
import { createNegotiator } from "../../../plugins/compress/negotiate.ts";
import { cpuMsOf } from "../../support/cpu-time.ts";

const ours = createNegotiator(["zstd", "br", "gzip"]);

describe("createNegotiator", () => {
  it.each([
    [undefined, undefined, true],
    ["", undefined, true],
    ["gzip", "gzip", true],
    ["gzip, deflate, br", "br", true],
    ["gzip, deflate, br, zstd", "zstd", true],
    ["GZIP", "gzip", true],
    ["x-gzip", "gzip", true],
    ["deflate", undefined, true],
    ["gzip;q=1.0, br;q=0.8", "gzip", true],
    ["br;q=0.2,gzip;q=0.3", "gzip", true],
    ["gzip;q=0, br;q=0", undefined, true],
    ["gzip ; q=0.5", "gzip", true],
    ["gzip;Q=0.5", "gzip", true],
    ["*", "zstd", true],
    ["*;q=0.1, gzip;q=0.2", "gzip", true],
    ["*, zstd;q=0", "br", true],
    ["*;q=0", undefined, false],
    ["gzip, *;q=0", "gzip", false],
    ["identity;q=0", undefined, false],
    ["identity;q=0, gzip", "gzip", false],
    ["identity;q=0.000, *", "zstd", false],
    ["identity, gzip", "gzip", true],
    ["identity;q=1, gzip;q=0.5", undefined, true],
    ["identity;q=0.5, gzip;q=1", "gzip", true],
    ["identity;q=0.5, *;q=0", undefined, true],
    ["gzip;q=2", undefined, true],
    ["gzip;q=1.5", undefined, true],
    ["gzip;q=0.1234", undefined, true],
    ["gzip;q=", undefined, true],
    ["gzip;q=-1", undefined, true],
    ["gzip;level=9", undefined, true],
    ["gzip;q=1;x=y", undefined, true],
    ["gzip;q=x, br", "br", true],
    [",, gzip,,", "gzip", true],
  ])("takes %j for %s", (accept, coding, identity) => {
    expect(ours(accept)).toEqual({ coding, identity });
    expect(ours(accept)).toEqual({ coding, identity });
  });

  it("breaks ties by the order of the encodings", () => {
    expect(createNegotiator(["gzip", "br"])("br, gzip, zstd").coding).toBe("gzip");
    expect(createNegotiator(["br", "gzip"])("gzip, br, zstd").coding).toBe("br");
  });

  it("prefers no coding where * weighs it above the only coding there is", () => {
    expect(createNegotiator(["gzip"])("gzip;q=0.3, *;q=0.5").coding).toBeUndefined();
  });

  it("never throws, never chooses what is refused, and answers the same again", () => {
    const member = fc.oneof(
      fc.constantFrom("gzip", "br", "zstd", "*", "identity", "gzip;q=0", "br;q=0", "zstd;q=0", "*;q=0"),
      fc.string({ maxLength: 12 }),
    );
    fc.assert(
      fc.property(fc.array(member, { maxLength: 8 }), (members) => {
        const accept = members.join(",");
        const first = ours(accept);
        expect(ours(accept)).toEqual(first);
        const parts = accept.split(",").map((part) => part.trim());
        if (first.coding !== undefined && parts.at(-1) === `${first.coding};q=0`) expect.fail(accept);
      }),
    );
  });

  it("goes on when it has met many different values", () => {
    const negotiate = createNegotiator(["gzip"]);
    for (let i = 0; i < 1000; i++) expect(negotiate(`x${i}, gzip`).coding).toBe("gzip");
    expect(negotiate(`${"x".repeat(10_000)}, gzip`).coding).toBe("gzip");
  });

  it("stays fast on hostile values", () => {
    const hostile = `gzip${" ".repeat(60_000)}x${";".repeat(60_000)}${",".repeat(60_000)}`;
    expect(cpuMsOf(() => void ours(hostile))).toBeLessThan(500);
  });
});

describe("compileTypes", () => {
  const classify = compileTypes(["text/*", "*+json", "Application/JSON", "image/svg+xml"]);

  it("knows exact types, whole families and suffixes, without regard to case and parameters", () => {
    for (const type of [
      "text/html",
      "TEXT/plain; charset=utf-8",
      "application/json",
      "application/json;charset=utf-8",
      "application/ld+json",
      "application/problem+JSON ; a=b",
      "image/svg+xml",
    ]) {
      expect(classify(type), type).toBe("compressible");
    }
    for (const type of [
      undefined,
      "",
      "image/png",
      "application/xml",
      "application/jsonx",
      "textual/html",
      ";",
    ]) {
      expect(classify(type), type).toBe("other");
    }
  });

  it("knows streams, whatever the patterns say", () => {
    const all = compileTypes(["*/*", "text/event-stream"]);
    for (const type of [
      "text/event-stream; charset=utf-8",
      "multipart/x-mixed-replace;boundary=x",
      "application/grpc+proto",
    ]) {
      expect(all(type), type).toBe("stream");
    }
    expect(all("image/png")).toBe("compressible");
  });
});
