/** The servers that scripts ask, in memory: only those that a test has made. */
import { FetchGuard } from "../script/host-fetch-guard.ts";
import { type FetchRequest, refused } from "../script/host-fetch-request.ts";
import { renderReply, type ScriptFetch } from "../script/host-fetch.ts";
import type { FetchGrant } from "../script/script.ts";
import type { TestFailure, TestReply, TestReplyInit } from "../script/test-api.ts";
import { ReceivedRequest, toMessage } from "./test-message.ts";

export class FakeServers {
  readonly requests: ReceivedRequest[] = [];
  readonly #replies = new Map<string, TestReply | TestFailure>();
  readonly #onBug: (error: unknown) => void;

  /** @param onBug told of what is wrong with the test */
  constructor(onBug: (error: unknown) => void) {
    this.#onBug = onBug;
  }

  /** @param place host with its port, if that is not the scheme's own; or a URL, which means any query if it has none */
  on(place: string, reply: TestReply | TestFailure): void {
    this.#replies.set(place.includes("://") ? new URL(place).href : place.toLowerCase(), reply);
  }

  open(grant: FetchGrant): ScriptFetch {
    const guard = new FetchGuard(grant);
    return {
      grant,
      send: (request) => {
        if (!guard.allowsHost(request.url)) {
          throw refused(`the host ${request.url.host} is not granted: add it to grants.fetch of the stage`);
        }
        return this.#send(request, grant);
      },
      close() {},
    };
  }

  async #send({ url, method, headers, body, timeoutMs }: FetchRequest, grant: FetchGrant): Promise<string> {
    const request = new ReceivedRequest(
      method,
      url.href,
      Object.entries(headers).flat(),
      body ?? Buffer.alloc(0),
    );
    this.requests.push(request);
    const reply = this.#find(url);
    if (reply === undefined) {
      const { href, host } = url;
      this.#onBug(
        new Error(
          `A script asks ${href}, for which the test has no reply: add gw.onFetch(${JSON.stringify(host)}, { … })`,
        ),
      );
      throw refused("the test has no reply for it");
    }
    switch (reply) {
      case "connect":
        throw refused("the connection was refused");
      case "reset":
        throw refused("the connection was reset");
      case "timeout":
        throw refused(`it was not done within ${Math.min(grant.timeoutMs, timeoutMs ?? grant.timeoutMs)} ms`);
    }
    const init = await this.#ask(reply, request);
    const { headers: raw, bytes } = toMessage(init);
    if (bytes.length > grant.maxResponseBytes) {
      throw refused(`the reply is larger than ${grant.maxResponseBytes} bytes`);
    }
    return renderReply(init.status ?? 200, raw, bytes);
  }

  /** The most special of the replies. */
  #find(url: URL): TestReply | TestFailure | undefined {
    const { href, origin, pathname, host } = url;
    return this.#replies.get(href) ?? this.#replies.get(origin + pathname) ?? this.#replies.get(host);
  }

  async #ask(reply: TestReply, request: ReceivedRequest): Promise<TestReplyInit> {
    if (typeof reply !== "function") return reply;
    try {
      return await reply(request);
    } catch (error) {
      this.#onBug(error);
      throw refused("the reply of the test has thrown");
    }
  }
}
