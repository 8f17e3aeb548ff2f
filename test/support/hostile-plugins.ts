/** Plugins that do to a data thread what no plugin should, when a test asks for it. */
import {
  ConfigError,
  GatewayError,
  type Host,
  type Plugin,
  type Reply,
  textReply,
} from "../../core/plugin.ts";
import { workerData } from "node:worker_threads";
import { monotonicMs } from "../../core/clock.ts";
import { scriptId } from "../../core/script/script.ts";
import type { DataThreadStart } from "../../core/threads/messages.ts";
import { Vitals } from "../../core/threads/vitals.ts";
import { catalogue } from "../../plugins/index.ts";
import { tally } from "./tally-plugin.ts";

const schema = {
  type: "object",
  description: "What it does, and where.",
  properties: {
    text: {
      type: "string",
      default: "",
      description: "What it answers with, after the number of its thread.",
    },
    refuseOn: { type: "integer", description: "Thread on which it cannot be built." },
    dieOn: { type: "integer", description: "Thread that ends while it is built." },
    dieOnceOn: { type: "integer", description: "The same, but only the first thread of this number." },
  },
  additionalProperties: false,
} as const;

interface Options {
  readonly text: string;
  readonly refuseOn?: number;
  readonly dieOn?: number;
  readonly dieOnceOn?: number;
}

/** Answers with its thread and a text; the path says what it does instead. */
const hostile: Plugin<Options> = {
  name: "hostile",
  schema,
  terminal: true,
  build({ text, refuseOn, dieOn, dieOnceOn }, host) {
    const { thread } = host.shared;
    if (refuseOn === thread) throw new ConfigError(`not on thread ${thread}`, "/refuseOn");
    if (dieOn === thread) process.exit(7);
    if (dieOnceOn === thread && isFirst(text, host)) process.exit(7);
    const served = host.metrics.counter("sluice_test_served_total", "Answers.");
    return () => (x) => {
      if (x.path === "/stall") for (;;);
      if (x.path === "/script") runScript(thread);
      if (x.path === "/exit") process.exit(3);
      if (x.path === "/memory") return eat();
      if (x.path === "/block") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      if (x.path === "/throw") setImmediate(() => nobodyCatches());
      if (x.path === "/wait") {
        host.log.info({}, "waiting");
        return new Promise<Reply>(() => {});
      }
      served.inc();
      return textReply(200, `${thread} ${text}`);
    };
  },
};

/** True once for a text, whichever thread asks. */
function isFirst(text: string, { shared, clock }: Host): boolean {
  const { counters } = shared;
  const cell = counters.locate(`died ${text}`, 60_000, clock.monotonic());
  return Atomics.exchange(counters.words, cell, 1) === 0;
}

/** Writes into the reply which thread it comes from. */
const tellThread: Plugin = {
  name: "tell-thread",
  schema: { type: "object", description: "Nothing.", properties: {}, additionalProperties: false },
  build: (_, host) => (next) => async (x) => {
    let reply: Reply;
    try {
      reply = await next(x);
    } catch (error) {
      reply = textReply(error instanceof GatewayError ? error.status : 500, String(error));
    }
    reply.headers.set("x-thread", String(host.shared.thread));
    return reply;
  },
};

/** A script that nothing stops. */
export const STALLING = { name: "stalling", version: "5ca1ab1e".repeat(8), file: "plugins/stalling.ts" };

function runScript(thread: number): never {
  const { vitals } = workerData as DataThreadStart;
  new Vitals(vitals, thread).enterScript(scriptId(STALLING.version), monotonicMs());
  for (;;);
}

function nobodyCatches(): never {
  throw new Error("nobody catches this");
}

function eat(): Reply {
  const all: number[][] = [];
  for (;;) all.push(new Array<number>(1_000_000).fill(1.5));
}

export const hostileCatalogue = new Map([
  ...catalogue,
  [hostile.name, hostile as Plugin],
  [tellThread.name, tellThread],
  [tally.name, tally as Plugin],
]);
