/** Content codings (RFC 9110 section 8.4.1): gzip, br, zstd and deflate, decoded with a cap on what comes out. */
import { constants } from "node:buffer";
import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate, zstdDecompress } from "node:zlib";
import { BodyTooLarge } from "./body.ts";
import { listMembers } from "./headers.ts";

type Decode = (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;

interface Decoded {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

/**
 * Node leaves bytes behind the end of what is encoded unread. Others read on there, and would find what nobody here has
 * looked at.
 */
function wholly(decoder: unknown): Decode {
  const run = promisify(decoder as typeof gunzip) as (bytes: Buffer, options: object) => Promise<unknown>;
  return async (bytes, options) => {
    const { buffer, engine } = (await run(bytes, { ...options, info: true })) as Decoded;
    if (engine.bytesWritten !== bytes.length) throw new Error("there is more behind what is encoded");
    return buffer;
  };
}

const DECODERS: ReadonlyMap<string, Decode> = new Map([
  ["gzip", wholly(gunzip)],
  ["x-gzip", wholly(gunzip)],
  ["deflate", wholly(inflate)],
  ["br", wholly(brotliDecompress)],
  ["zstd", wholly(zstdDecompress)],
  ["identity", async (bytes) => bytes],
]);

/** Raised for a coding that is not known. */
export class UnknownCoding extends Error {
  override readonly name = "UnknownCoding";
}

/**
 * Undoes the codings named by a Content-Encoding value, last first.
 * @param contentEncoding the field value, or undefined for none; a body without bytes has nothing to undo
 * @throws BodyTooLarge when more than `maxBytes` come out, UnknownCoding, or an error for damaged bytes and those with more behind them
 */
export async function decode(
  bytes: Buffer,
  contentEncoding: string | undefined,
  maxBytes: number,
): Promise<Buffer> {
  if (contentEncoding === undefined) return bytes;
  const codings = listMembers(contentEncoding);
  if (codings.length > 3) throw new UnknownCoding("more than three content codings");
  const decoders = codings.reverse().map((coding) => {
    const decoder = DECODERS.get(coding);
    if (decoder === undefined) throw new UnknownCoding(coding);
    return decoder;
  });
  if (bytes.length === 0) return bytes;
  // zlib wants a finite cap of at least one byte.
  const maxOutputLength = Math.max(1, Math.min(maxBytes, constants.MAX_LENGTH));
  for (const decoder of decoders) {
    try {
      bytes = await decoder(bytes, { maxOutputLength });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw new BodyTooLarge(maxBytes);
      throw error;
    }
    if (bytes.length > maxBytes) throw new BodyTooLarge(maxBytes);
  }
  return bytes;
}
