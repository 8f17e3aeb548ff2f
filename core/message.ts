/** What requests and replies have in common: headers, and a body that streams unless a stage reads it. */
import { type Body, BodyTooLarge, BrokenBody, BytesBody, collect } from "./body.ts";
import { decode, UnknownCoding } from "./content-coding.ts";
import { type ErrorCode, GatewayError } from "./errors.ts";
import type { HeaderList } from "./headers.ts";

/** Fields that describe bytes which are no longer the ones sent (RFC 9110 sections 8.4, 14.3; RFC 9530). */
export const STALE_AFTER_EDIT: readonly string[] = [
  "content-encoding",
  "content-md5",
  "digest",
  "content-digest",
  "repr-digest",
  "accept-ranges",
];

/** The codes a side raises when its body cannot be read. */
export interface BodyErrors {
  readonly tooLarge: ErrorCode;
  readonly invalid: ErrorCode;
  readonly unknownCoding: ErrorCode;
}

export abstract class Message {
  headers: HeaderList;
  /** Null: no body. */
  body: Body | null;
  protected abstract readonly bodyErrors: BodyErrors;
  #decoded: Buffer | undefined;

  constructor(headers: HeaderList, body: Body | null) {
    this.headers = headers;
    this.body = body;
    this.#decoded = undefined;
  }

  /**
   * The whole body with content codings (gzip, br, zstd, deflate) undone. The bytes that travel on stay as
   * they came until {@link setBody}. May be called again. A body that cannot be read whole is lost: it fails
   * whoever wants it later.
   * @param maxBytes cap on the body, both as it came and decoded
   * @throws GatewayError when it is larger, broken, or in an unknown coding
   */
  async readBody(maxBytes: number): Promise<Buffer> {
    if (this.#decoded !== undefined) {
      if (this.#decoded.length > maxBytes) throw new GatewayError(this.bodyErrors.tooLarge);
      return this.#decoded;
    }
    const bytes = await this.bufferBody(maxBytes);
    try {
      this.#decoded = await decode(bytes, this.headers.getJoined("content-encoding"), maxBytes);
    } catch (error) {
      throw this.#bodyFailure(error);
    }
    return this.#decoded;
  }

  /**
   * The whole body as it travels, with its content codings. May be called again; a body that cannot be read whole is
   * lost, as with {@link readBody}.
   * @throws GatewayError when it is larger or broken
   */
  async bufferBody(maxBytes: number): Promise<Buffer> {
    if (this.body === null) return Buffer.alloc(0);
    try {
      const bytes = await collect(this.body, maxBytes);
      this.body = new BytesBody(bytes);
      return bytes;
    } catch (error) {
      const failure = this.#bodyFailure(error);
      this.body = new BrokenBody(failure); // a part of it is gone: the rest must never pass for the whole
      throw failure;
    }
  }

  /** Puts another body in the place of this one, which somebody else looks after. */
  protected replaceBody(body: Body | null): void {
    this.body = body;
    this.#decoded = undefined;
  }

  #bodyFailure(error: unknown): GatewayError {
    if (error instanceof GatewayError) return error;
    const { tooLarge, unknownCoding, invalid } = this.bodyErrors;
    if (error instanceof BodyTooLarge) {
      return new GatewayError(tooLarge, { detail: error.message, cause: error });
    }
    return new GatewayError(error instanceof UnknownCoding ? unknownCoding : invalid, { cause: error });
  }

  /** Replaces the body by bytes in the clear and corrects the fields that described the old ones. */
  setBody(body: Buffer | string): void {
    const bytes = typeof body === "string" ? Buffer.from(body) : body;
    this.body?.cancel();
    this.body = new BytesBody(bytes);
    this.#decoded = bytes;
    for (const name of STALE_AFTER_EDIT) this.headers.delete(name);
    weakenEtag(this.headers);
    this.headers.set("content-length", String(bytes.length));
  }
}

/** Makes a strong ETag weak: the bytes differ from the upstream's, the meaning does not (RFC 9110 section 8.8.1). */
export function weakenEtag(headers: HeaderList): void {
  const etag = headers.get("etag");
  if (etag !== undefined && !etag.startsWith("W/")) headers.set("etag", `W/${etag}`);
}
