/** An upstream in memory: what comes to any of its targets, and what they reply. */
import { once } from "node:events";
import type { TestFailure, TestReply, TestReplyInit, TestUpstream } from "../script/test-api.ts";
import { ConnectError } from "../upstream/connector.ts";
import type { Connections, PoolController, PoolHandler, PoolRequest } from "../upstream/pool.ts";
import { ReceivedRequest, toMessage } from "./test-message.ts";

type Answer = { readonly reply: TestReply } | { readonly failure: TestFailure };

/** What connections tell of each failure. */
const FAILURES: Readonly<Record<TestFailure, () => Error>> = {
  connect: () =>
    new ConnectError(Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" }), "connect"),
  reset: () => Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }),
  timeout: () => Object.assign(new Error("Headers Timeout Error"), { code: "UND_ERR_HEADERS_TIMEOUT" }),
};

export class FakeUpstream implements TestUpstream, Connections {
  readonly requests: ReceivedRequest[] = [];
  readonly #onBug: (error: unknown) => void;
  #answer: Answer = { reply: {} };
  readonly #next: Answer[] = [];

  /** @param onBug told of what a reply of the test's own has thrown */
  constructor(onBug: (error: unknown) => void) {
    this.#onBug = onBug;
  }

  get last(): ReceivedRequest | undefined {
    return this.requests.at(-1);
  }

  reply(reply: TestReply): void {
    this.#answer = { reply };
  }

  replyOnce(reply: TestReply): void {
    this.#next.push({ reply });
  }

  fail(failure: TestFailure): void {
    this.#answer = { failure };
  }

  failOnce(failure: TestFailure): void {
    this.#next.push({ failure });
  }

  dispatch(request: PoolRequest, handler: PoolHandler): void {
    const controller = new Controller(handler);
    handler.onRequestStart(controller);
    if (controller.isAborted) return;
    this.#run(request, handler, controller).catch((error: unknown) => {
      if (!controller.isAborted) handler.onResponseError(controller, error as Error);
    });
  }

  async close(): Promise<void> {}

  async #run({ method, path, headers, body }: PoolRequest, handler: PoolHandler, controller: Controller) {
    const received = new ReceivedRequest(method, path, headers, await readAll(body));
    this.requests.push(received);
    const answer = this.#next.shift() ?? this.#answer;
    if ("failure" in answer) throw FAILURES[answer.failure]();
    const init = await this.#ask(answer.reply, received);
    const { headers: raw, bytes } = toMessage(init);
    if (controller.isAborted) return;
    controller.rawHeaders = raw.map((text) => Buffer.from(text, "latin1") as Buffer & RawText);
    handler.onResponseStart(controller, init.status ?? 200, {});
    if (bytes.length > 0 && method !== "HEAD") handler.onResponseData(controller, bytes);
    handler.onResponseEnd(controller);
  }

  async #ask(reply: TestReply, request: ReceivedRequest): Promise<TestReplyInit> {
    if (typeof reply !== "function") return reply;
    try {
      return await reply(request);
    } catch (error) {
      this.#onBug(error);
      throw error;
    }
  }
}

type RawText = NonNullable<PoolController["rawHeaders"]>[number];

class Controller implements PoolController {
  rawHeaders: RawText[] | null = null;
  readonly rawTrailers = null;
  isAborted = false;
  readonly #handler: PoolHandler;

  constructor(handler: PoolHandler) {
    this.#handler = handler;
  }

  // Bodies are short and in memory: what is not wanted yet is queued.
  pause(): void {}

  resume(): void {}

  abort(reason: Error): void {
    if (this.isAborted) return;
    this.isAborted = true;
    this.#handler.onResponseError(this, reason);
  }
}

async function readAll(body: PoolRequest["body"]): Promise<Buffer> {
  if (body === null) return Buffer.alloc(0);
  if (Buffer.isBuffer(body)) return body;
  const chunks: Buffer[] = [];
  body.on("data", (chunk: Buffer) => chunks.push(chunk));
  const ended = once(body, "end");
  (body as NodeJS.EventEmitter & { resume(): void }).resume();
  await ended;
  return Buffer.concat(chunks);
}
