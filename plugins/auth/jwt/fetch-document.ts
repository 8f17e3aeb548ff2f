/** Fetches a small document: one GET on a connection of its own, with limits on its time and size. */
import type { IncomingMessage } from "node:http";
import { request as requestTls } from "node:https";
import { request as requestPlain } from "../../../core/node-http.ts";

const MOST_BYTES = 256 * 1024;
const MOST_MS = 5000;

/** @throws Error that says why not; redirects are not followed */
export async function fetchDocument(url: URL, signal: AbortSignal): Promise<string> {
  const limit = AbortSignal.timeout(MOST_MS);
  const either = AbortSignal.any([signal, limit]);
  try {
    return await readBody(await send(url, either));
  } catch (error) {
    throw limit.aborted ? new Error(`it was not done within ${MOST_MS / 1000} s`) : error;
  }
}

function send(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { accept: "application/jwk-set+json, application/json" };
    const options = { headers, signal, agent: false } as const;
    const request = (url.protocol === "https:" ? requestTls : requestPlain)(url, options);
    request.once("response", resolve);
    request.on("error", (error: NodeJS.ErrnoException) => {
      // A host with several addresses fails with an error for each, and no message.
      reject(error.message === "" ? new Error(error.code, { cause: error }) : error);
    });
    // The answer switched to another protocol, which nobody listens to: no error is told then.
    request.once("close", () => reject(new Error("closed")));
    request.end();
  });
}

async function readBody(response: IncomingMessage): Promise<string> {
  if (response.statusCode !== 200) {
    response.destroy();
    throw new Error(`the answer has status ${response.statusCode}`);
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    if ((length += chunk.length) > MOST_BYTES)
      throw new Error(`the answer has more than ${MOST_BYTES} bytes`);
  }
  return Buffer.concat(chunks).toString();
}
