/** Content codings (RFC 9110 section 8.4.1): gzip, br, zstd and deflate, decoded with a cap on what comes out. */
import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate, zstdDecompress } from "node:zlib";
import { BodyTooLarge } from "./body.ts";
import { listMembers } from "./headers.ts";

type Decode = (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;

const DECODERS: Record<string, Decode> = {
  gzip: promisify(gunzip) as Decode,
  "x-gzip": promisify(gunzip) as Decode,
  deflate: promisify(inflate) as Decode,
  br: promisify(brotliDecompress) as Decode,
  zstd: promisify(zstdDecompress) as Decode,
  identity: async (bytes) => bytes,
};

/** Raised for a coding that is not known. */
export class UnknownCoding extends Error {
  override readonly name = "UnknownCoding";
}

/**
 * Undoes the codings named by a Content-Encoding value, last first.
 * @param contentEncoding the field value, or undefined for none
 * @throws BodyTooLarge when more than `maxBytes` come out, UnknownCoding, or zlib's error for damaged bytes
 */
export async function decode(
  bytes: Buffer,
  contentEncoding: string | undefined,
  maxBytes: number,
): Promise<Buffer> {
  if (contentEncoding === undefined) return bytes;
  const codings = listMembers(contentEncoding);
  if (codings.length > 3) throw new UnknownCoding("more than three content codings");
  for (const coding of codings.reverse()) {
    const decoder = DECODERS[coding];
    if (decoder === undefined) throw new UnknownCoding(coding);
    try {
      bytes = await decoder(bytes, { maxOutputLength: maxBytes });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw new BodyTooLarge(maxBytes);
      throw error;
    }
  }
  return bytes;
}
