/** The content codings that replies can be compressed with, over node:zlib. */
import type { Transform } from "node:stream";
import {
  brotliCompressSync,
  constants,
  createBrotliCompress,
  createGzip,
  createZstdCompress,
  gzipSync,
  zstdCompressSync,
} from "node:zlib";

/** A content coding, by its name in HTTP. */
export type CodingName = "zstd" | "br" | "gzip";

/** A compressor as a stream: what node:zlib makes. */
export interface CompressStream extends Transform {
  flush(kind: number): void;
}

/** A coding at a level. */
export interface Coding {
  readonly name: CodingName;
  /** What `flush` takes to let out all that was put in, without forgetting it. */
  readonly flushKind: number;
  /** True when a small body takes so little time that a worker thread would cost more. */
  readonly cheap: boolean;
  open(): CompressStream;
  compress(bytes: Buffer): Buffer;
}

/**
 * The window of zstd and brotli, as a power of two: bounds the memory of a reply in progress to about a
 * megabyte. RFC 9659 forbids more than 23 for zstd, which its higher levels would choose.
 */
const WINDOW_LOG = 19;

/** Makes a coding. */
export function createCoding(name: CodingName, level: number): Coding {
  return CODINGS[name](level);
}

const CODINGS: Record<CodingName, (level: number) => Coding> = {
  zstd(level) {
    const params = {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_windowLog]: WINDOW_LOG,
    };
    return {
      name: "zstd",
      flushKind: constants.ZSTD_e_flush,
      cheap: level <= 9,
      open: () => createZstdCompress({ params }),
      compress: (bytes) => zstdCompressSync(bytes, { params }),
    };
  },
  br(level) {
    const params = {
      [constants.BROTLI_PARAM_QUALITY]: level,
      [constants.BROTLI_PARAM_LGWIN]: WINDOW_LOG,
    };
    return {
      name: "br",
      flushKind: constants.BROTLI_OPERATION_FLUSH,
      cheap: level <= 5,
      open: () => createBrotliCompress({ params }),
      compress: (bytes) => brotliCompressSync(bytes, { params }),
    };
  },
  gzip(level) {
    return {
      name: "gzip",
      flushKind: constants.Z_SYNC_FLUSH,
      cheap: true,
      open: () => createGzip({ level }),
      compress: (bytes) => gzipSync(bytes, { level }),
    };
  },
};
