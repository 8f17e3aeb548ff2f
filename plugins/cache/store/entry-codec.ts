/**
 * Entries as a store has them: `SLC`, the version of the format, a checksum of all that follows and of the key, whether
 * the body is compressed, the head, the body.
 */
import { promisify } from "node:util";
import {
  constants,
  crc32,
  zstdCompress,
  zstdCompressSync,
  zstdDecompress,
  zstdDecompressSync,
} from "node:zlib";
import type { Entry } from "../entry.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";

/** Another version is another format: nobody reads it. */
const MAGIC = Buffer.from("SLC\x01", "latin1");
const CHECKSUM_AT = 4;
const FLAGS_AT = 8;
const HEAD_AT = 9;

const IS_COMPRESSED = 1;
const HAS_REASON = 2;
const MUST_REVALIDATE = 4;
const ALWAYS_VALIDATE = 8;

/** Compressing must be worth it. */
const MOST_SHARE = 0.9;
/** Types that are compressed already. */
const IS_DENSE =
  /^(?:image\/(?!svg|bmp)|video\/|audio\/|font\/woff|application\/(?:zip|gzip|zstd|pdf|x-7z|x-bzip))/i;

/** Handing a body to another thread costs more than to compress such a one here, which takes a third of a millisecond. */
const ASIDE_ABOVE = 256 * 1024;
const FAST = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
const compressAside = promisify(zstdCompress);
const decompressAside = promisify(zstdDecompress);

/** What tells an entry from another under the same key: its beginning. */
export const HEAD_BYTES = FLAGS_AT;

/**
 * Writes an entry that is whole: parts are not kept in stores. Its key is not written: whoever reads it knows it.
 * @param compressAbove bodies with more bytes are compressed, unless they are already
 */
export async function encodeEntry(entry: Entry, compressAbove: number): Promise<Buffer> {
  let { body } = entry;
  let flags = entry.reason === undefined ? 0 : HAS_REASON;
  if (entry.mustRevalidate) flags |= MUST_REVALIDATE;
  if (entry.alwaysValidate) flags |= ALWAYS_VALIDATE;
  if (body.length > compressAbove && isSparse(entry.headers)) {
    const compressed =
      body.length > ASIDE_ABOVE ? await compressAside(body, FAST) : zstdCompressSync(body, FAST);
    if (compressed.length < MOST_SHARE * body.length) {
      body = compressed;
      flags |= IS_COMPRESSED;
    }
  }
  const writer = new ByteWriter();
  for (const byte of MAGIC) writer.byte(byte);
  for (let at = CHECKSUM_AT; at < FLAGS_AT; at++) writer.byte(0);
  writer.byte(flags);
  writer.text(entry.url);
  writer.number(entry.status);
  if (entry.reason !== undefined) writer.text(entry.reason);
  writer.texts(entry.headers);
  writer.texts(entry.vary);
  writer.texts(entry.tags);
  writer.number(entry.requestedAtMs);
  writer.number(entry.respondedAtMs);
  writer.number(entry.initialAgeMs);
  writer.number(entry.freshMs);
  writer.number(entry.staleWhileRevalidateMs);
  writer.number(entry.staleIfErrorMs);
  writer.number(entry.fillMs);
  writer.number(entry.version);
  writer.number(entry.body.length);
  const bytes = Buffer.concat([writer.written, body]);
  bytes.writeUInt32LE(checksumOf(bytes, entry.key), CHECKSUM_AT);
  return bytes;
}

/** Reads an entry. @returns undefined when it is none, not whole, of another format or of another key */
export async function decodeEntry(bytes: Buffer, key: string): Promise<Entry | undefined> {
  if (bytes.length < HEAD_AT || !bytes.subarray(0, CHECKSUM_AT).equals(MAGIC)) return undefined;
  if (bytes.readUInt32LE(CHECKSUM_AT) !== checksumOf(bytes, key)) return undefined;
  try {
    return await readEntry(bytes, key);
  } catch {
    return undefined; // by a checksum that is right by accident
  }
}

async function readEntry(bytes: Buffer, key: string): Promise<Entry | undefined> {
  const flags = bytes[FLAGS_AT]!;
  const reader = new ByteReader(bytes, HEAD_AT);
  const url = reader.text();
  const status = reader.number();
  const reason = flags & HAS_REASON ? reader.text() : undefined;
  const [headers, vary, tags] = [reader.texts(), reader.texts(), reader.texts()];
  const head = {
    ...{ key, url, status, reason, headers, vary, tags, part: undefined },
    requestedAtMs: reader.number(),
    respondedAtMs: reader.number(),
    initialAgeMs: reader.number(),
    freshMs: reader.number(),
    staleWhileRevalidateMs: reader.number(),
    staleIfErrorMs: reader.number(),
    fillMs: reader.number(),
    version: reader.number(),
    mustRevalidate: (flags & MUST_REVALIDATE) !== 0,
    alwaysValidate: (flags & ALWAYS_VALIDATE) !== 0,
  };
  const length = reader.number();
  const body = flags & IS_COMPRESSED ? await decompress(reader.rest, length) : copyOf(reader.rest);
  return body.length === length ? { ...head, body } : undefined;
}

async function decompress(bytes: Buffer, length: number): Promise<Buffer> {
  const options = { chunkSize: Math.max(64, length), maxOutputLength: Math.max(1, length) };
  return length > ASIDE_ABOVE ? decompressAside(bytes, options) : zstdDecompressSync(bytes, options);
}

/** By itself: what was received is mostly part of something larger. */
function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}

function checksumOf(bytes: Buffer, key: string): number {
  return crc32(bytes.subarray(FLAGS_AT), crc32(key));
}

function isSparse(headers: readonly string[]): boolean {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!.toLowerCase();
    if (name === "content-encoding") return false;
    if (name === "content-type" && IS_DENSE.test(headers[i + 1]!)) return false;
  }
  return true;
}
