/**
 * How a reply was written, for those to come that are the same: a stage that makes many of them makes one of these and
 * puts it on each. The only code that knows where Node keeps the head of a response. See docs/decisions/024.
 */
import type { ServerResponse } from "node:http";
import { BytesBody } from "./body.ts";
import type { Reply } from "./reply.ts";

/** Larger bodies would cost more to keep than it saves. */
export const PRINTED_BODY_BYTES = 4096;

type Response = ServerResponse & { _header: string | null };

/** May be used for a second: Date is in it, if the reply has none. */
export class Printed {
  /** Head and body; empty until a reply was written. */
  #text = "";
  /** Settings of the listener that wrote it. */
  #settings: object | undefined = undefined;
  #status = 0;
  #reason: string | undefined = undefined;
  #headers: readonly string[] = [];
  #bytes: Buffer | undefined = undefined;

  /** Writes a reply whose connection stays open. @returns false when it is not known how: nothing is written then */
  write(response: ServerResponse, reply: Reply, settings: object): boolean {
    if (this.#settings !== settings || !this.#describes(reply) || !response.shouldKeepAlive) return false;
    (response as Response)._header = this.#text;
    response.end();
    return true;
  }

  /** Keeps how a reply was written whose head is about to be sent. */
  keep(response: ServerResponse, reply: Reply, settings: object): void {
    const { body } = reply;
    const { _header: head } = response as Response;
    if (typeof head !== "string" || response.chunkedEncoding || !response.shouldKeepAlive) return;
    if (body !== null && (!(body instanceof BytesBody) || body.length > PRINTED_BODY_BYTES)) return;
    this.#text = body === null ? head : head + body.bytes.toString("latin1");
    this.#settings = settings;
    this.#status = reply.status;
    this.#reason = reply.reason;
    this.#headers = reply.headers.raw.slice();
    this.#bytes = body?.bytes;
  }

  #describes({ status, reason, headers: { raw }, body }: Reply): boolean {
    const headers = this.#headers;
    const bytes = body instanceof BytesBody ? body.bytes : undefined;
    if (bytes !== this.#bytes || (body !== null && bytes === undefined)) return false;
    if (status !== this.#status || reason !== this.#reason || raw.length !== headers.length) return false;
    for (let i = 0; i < raw.length; i++) if (raw[i] !== headers[i]) return false;
    return true;
  }
}
