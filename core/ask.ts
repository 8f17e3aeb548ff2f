/** Asks another server something small, within limits of time and size. Redirects are not followed. */
import type { Agent, IncomingMessage } from "node:http";
import { request as requestTls } from "node:https";
import { HeaderList } from "./headers.ts";
import { request as requestPlain } from "./node-http.ts";

export interface Question {
  readonly url: URL;
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** From now until the whole answer is there. */
  readonly timeoutMs: number;
  /** Most of the answer's body. */
  readonly maxBytes: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: string;
}

/** A connection that was kept had been closed by the other side, which has not seen the question. */
export class StaleConnection extends Error {}

/**
 * @param agent keeps connections; without one the question has a connection of its own
 * @throws Error that says why there is no answer
 */
export async function ask(question: Question, agent?: Agent, signal?: AbortSignal): Promise<Answer> {
  const { url, method, headers, timeoutMs } = question;
  const deadline = { isOver: false };
  let timer: NodeJS.Timeout | undefined;
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const options = { method, headers, agent: agent ?? false, ...(signal && { signal }) };
      const request = (url.protocol === "https:" ? requestTls : requestPlain)(url, options);
      timer = setTimeout(() => {
        deadline.isOver = true;
        request.destroy(new Error("late"));
      }, timeoutMs);
      request.once("response", resolve);
      request.on("error", (error: NodeJS.ErrnoException) => {
        const isStale = request.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
        // A host with several addresses fails with an error for each, and no message.
        const why = error.message === "" ? error.code : error.message;
        reject(isStale && !deadline.isOver ? new StaleConnection(why) : new Error(why, { cause: error }));
      });
      // The answer switched to another protocol, which nobody listens to: no error is told then.
      request.once("close", () => reject(new Error("closed")));
      request.end(question.body);
    });
    const body = await readBody(response, question.maxBytes);
    return { status: response.statusCode!, headers: new HeaderList(response.rawHeaders), body };
  } catch (error) {
    throw deadline.isOver ? new Error(`it was not done within ${timeoutMs / 1000} s`) : error;
  } finally {
    clearTimeout(timer);
  }
}

async function readBody(response: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    if ((length += chunk.length) > maxBytes) throw new Error(`the answer has more than ${maxBytes} bytes`);
  }
  return Buffer.concat(chunks).toString();
}
