/**
 * Asks one other server again and again, over connections that are kept. It is logged when that begins to fail and when
 * it is over, and counted each time.
 */
import { Agent as TlsAgent } from "node:https";
import { type Answer, ask, type Question, StaleConnection } from "./ask.ts";
import { Agent } from "./node-http.ts";
import type { Log, Metrics } from "./plugin.ts";

const IDLE_MS = 5000;
const MOST_IDLE = 16;
const MOST_CONNECTIONS = 256;

/** There is no answer, or none that can be used. It is logged already. */
export class AskError extends Error {}

export class Asker {
  readonly #what: string;
  readonly #log: Log;
  readonly #asked: ReturnType<Metrics["counter"]>;
  readonly #agents: { readonly "http:": InstanceType<typeof Agent>; readonly "https:": TlsAgent };
  #isFailing = false;
  #isClosed = false;

  /**
   * @param what who is asked, for the log
   * @param metric counts questions, by `host` and `outcome`
   */
  constructor(
    what: string,
    metric: { readonly name: string; readonly help: string },
    { log, metrics }: { log: Log; metrics: Metrics },
  ) {
    this.#what = what;
    this.#log = log;
    this.#asked = metrics.counter(metric.name, metric.help, ["host", "outcome"]);
    const options = {
      keepAlive: true,
      timeout: IDLE_MS,
      maxFreeSockets: MOST_IDLE,
      maxSockets: MOST_CONNECTIONS,
    };
    this.#agents = { "http:": new Agent(options), "https:": new TlsAgent(options) };
  }

  /**
   * @param read makes something of the answer; throws an Error that says why it cannot, in words without secrets
   * @throws AskError
   */
  async ask<T>(question: Question, read: (answer: Answer) => T): Promise<T> {
    const { host } = question.url;
    try {
      const value = read(await this.#send(question));
      this.#asked.inc({ host, outcome: "ok" });
      if (this.#isFailing) this.#log.info({ host }, `${this.#what} answers again`);
      this.#isFailing = false;
      return value;
    } catch (error) {
      const why = (error as Error).message;
      this.#asked.inc({ host, outcome: "failed" });
      if (!this.#isFailing && !this.#isClosed) this.#log.warn({ host, why }, `${this.#what} cannot be asked`);
      this.#isFailing = true;
      throw new AskError(why, { cause: error });
    }
  }

  /** Ends all connections; questions under way fail. */
  close(): void {
    this.#isClosed = true;
    this.#agents["http:"].destroy();
    this.#agents["https:"].destroy();
  }

  async #send(question: Question): Promise<Answer> {
    const agent = this.#agents[question.url.protocol as "http:" | "https:"];
    try {
      return await ask(question, agent);
    } catch (error) {
      if (!(error instanceof StaleConnection)) throw error;
      return ask(question); // others that were kept may be closed as well
    }
  }
}
