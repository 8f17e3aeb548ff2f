/** A steady load: clients that send one request after another and check every reply. */
import { Agent, get } from "node:http";

export interface Load {
  /** Requests answered so far. */
  readonly answered: number;
  /** What went wrong, request by request. */
  readonly failures: string[];
  /** Resolves once `count` more requests have been answered. */
  answeredMore(count: number): Promise<void>;
  /** Ends the load and waits for the requests under way. */
  stop(): Promise<void>;
}

/**
 * Starts `clients` that each keep one request going.
 * @param check says what is wrong with a reply, or undefined
 * @param keepAlive whether clients keep their connections, or make one for each request
 */
export function startLoad(
  url: string,
  clients: number,
  check: (status: number, body: string) => string | undefined,
  keepAlive = true,
): Load {
  const agent = new Agent({ keepAlive, maxSockets: clients });
  const failures: string[] = [];
  let answered = 0;
  let running = true;
  let waiting: { at: number; resolve: () => void }[] = [];
  const once = (): Promise<void> =>
    new Promise((resolve) => {
      const fail = (problem: string): void => {
        failures.push(problem);
        resolve();
      };
      get(url, { agent }, (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          body += chunk;
        });
        response.on("error", (error) => fail(`reply: ${error.message}`));
        response.on("end", () => {
          const problem = check(response.statusCode ?? 0, body);
          if (problem !== undefined) return fail(problem);
          answered++;
          for (const waiter of waiting) if (answered >= waiter.at) waiter.resolve();
          waiting = waiting.filter((waiter) => answered < waiter.at);
          resolve();
        });
      }).on("error", (error) => {
        fail(`request: ${error.message}`);
      });
    });
  const client = async (): Promise<void> => {
    while (running) await once();
  };
  const all = Promise.all(Array.from({ length: clients }, client));
  return {
    get answered() {
      return answered;
    },
    failures,
    answeredMore: (count) =>
      new Promise((resolve) => {
        waiting.push({ at: answered + count, resolve });
      }),
    async stop() {
      running = false;
      await all;
      agent.destroy();
    },
  };
}
