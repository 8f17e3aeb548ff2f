/** The check that sends a request: its own connection, no redirects followed, judged by status and body. */
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { request as httpRequest } from "../../node-http.ts";
import type { Probe } from "./probe.ts";
import type { StatusTable } from "../../statuses.ts";

/** How much of a reply's body is read. */
export const MAX_BODY_BYTES = 64 * 1024;
const MAX_HEADER_BYTES = 64 * 1024;

/** Options of the check, compiled. */
export interface HttpProbeOptions {
  readonly method: string;
  readonly path: string;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly statuses: StatusTable;
  readonly body: RegExp | undefined;
}

export function createHttpProbe(options: HttpProbeOptions): Probe {
  const { method, path, statuses, body } = options;
  return ({ address, authority, tls }, signal) =>
    new Promise((resolve, reject) => {
      const request = (tls === undefined ? httpRequest : httpsRequest)({
        ...("path" in address ? { socketPath: address.path } : address),
        ...tls,
        agent: false, // a connection of its own
        method,
        path,
        headers: {
          host: authority,
          "user-agent": "sluice-health-check",
          ...options.headers,
          connection: "close",
        },
        maxHeaderSize: MAX_HEADER_BYTES,
        signal,
      });
      request.on("error", reject);
      const onClose = (): void => reject(new Error("the connection was closed before a reply"));
      request.on("close", onClose);
      request.on("response", (reply) => {
        request.off("close", onClose);
        const status = reply.statusCode ?? 0;
        const isExpected = statuses[status] === 1;
        if (!isExpected) resolve(`status ${status}`);
        else if (body === undefined) resolve(undefined);
        // The rest is read even when the verdict is known, so that the target is not cut off in its reply.
        readStart(reply).then((text) => {
          request.destroy();
          resolve(body === undefined || body.test(text) ? undefined : "the body does not match");
        }, reject);
      });
      request.end();
    });
}

/** Reads a reply's body to its end, or the first {@link MAX_BODY_BYTES} of it. */
function readStart(reply: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let left = MAX_BODY_BYTES;
    const finish = (): void => resolve(Buffer.concat(chunks).toString());
    reply.on("data", (chunk: Buffer) => {
      if (left <= 0) return;
      chunks.push(chunk.subarray(0, left));
      left -= chunk.length;
      if (left <= 0) finish();
    });
    reply.on("end", finish);
    reply.on("error", () => {}); // told by "close", which always comes
    reply.on("close", () => reject(new Error("the connection was closed before the end of the reply")));
  });
}
