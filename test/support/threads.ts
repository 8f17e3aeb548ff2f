/** Starts a gateway with data threads in this process, with plugins that can be asked to misbehave. */
import { once } from "node:events";
import { Agent, get, type IncomingMessage } from "node:http";
import { loadConfigObject } from "../../core/config/load.ts";
import type { Control } from "../../core/control.ts";
import { startRuntime } from "../../core/runtime.ts";
import type { ScriptBundle } from "../../core/script/script.ts";
import { hostileCatalogue, STALLING } from "./hostile-plugins.ts";

type Line = Record<string, unknown>;

export interface ThreadedGateway {
  readonly control: Control;
  readonly url: string;
  /** Log lines so far. */
  readonly lines: Line[];
  /** The first log line, past or to come, that meets `test`. */
  logged(test: (line: Line) => boolean): Promise<Line>;
  /** What the next reload loads. */
  source: object;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A configuration of one route whose only stage is hostile. */
export function hostileConfig(options: object = {}, parts: object = {}): object {
  return {
    apiVersion: "sluice/v1",
    listeners: [{ address: "127.0.0.1:0" }],
    threads: 2,
    drainTimeout: "2s",
    routes: [
      {
        name: "all",
        match: { path: "/*" },
        pipeline: [{ plugin: "tell-thread" }, { plugin: "hostile", ...options }],
      },
    ],
    ...parts,
  };
}

export async function startThreaded(source: object): Promise<ThreadedGateway> {
  const lines: Line[] = [];
  const waiting: { test: (line: Line) => boolean; resolve: (line: Line) => void }[] = [];
  const take = (line: Line): void => {
    lines.push(line);
    for (const waiter of waiting.slice()) {
      if (!waiter.test(line)) continue;
      waiting.splice(waiting.indexOf(waiter), 1);
      waiter.resolve(line);
    }
  };
  const logTo = {
    write(text: string): void {
      for (const line of text.trimEnd().split("\n")) take(JSON.parse(line) as Line);
    },
  };
  const loaded = { source };
  const load = async () => {
    const { config, ...rest } = await loadConfigObject(loaded.source, { catalogue: hostileCatalogue });
    return { ...rest, config: { ...config, scripts: { [STALLING.version]: STALLING as ScriptBundle } } };
  };
  const worker = new URL("./hostile-worker.ts", import.meta.url);
  const { control } = await startRuntime(load, hostileCatalogue, { logTo, worker });
  return Object.assign(loaded, {
    control,
    url: control.urls[0]!,
    lines,
    logged: (test: (line: Line) => boolean) =>
      new Promise<Line>((resolve) => {
        const found = lines.find(test);
        if (found !== undefined) resolve(found);
        else waiting.push({ test, resolve });
      }),
    [Symbol.asyncDispose]: async () => void (await control.stop()),
  });
}

/** A connection to one of the threads: whichever the system has given it to. */
export class Connection {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  /** The reply's text. @throws Error when the connection breaks */
  async ask(what = ""): Promise<string> {
    return (await this.get(what)).text;
  }

  /** @throws Error when the connection breaks */
  async get(what = ""): Promise<{ status: number; thread: number; text: string }> {
    const request = get(`${this.#url}/${what}`, { agent: this.#agent });
    const [response] = (await once(request, "response")) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    return { status: response.statusCode!, thread: Number(response.headers["x-thread"]), text };
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Connects until a thread of this number takes the connection. */
export async function connectTo(thread: number, url: string): Promise<Connection> {
  for (;;) {
    const connection = new Connection(url);
    if ((await connection.get("which")).thread === thread) return connection;
    connection.close();
  }
}
