/**
 * What scripts may ask of the host, in one table: the only way out of an isolate. Arguments come from the script and are
 * not believed. An answer that takes time gives the number of an operation.
 */
import type { Log } from "../log.ts";
import type { HookRun } from "./hook-run.ts";
import { compareData, createRandom, createUuid, hashData, signData } from "./host-crypto.ts";
import { fetchForScript } from "./host-fetch.ts";
import { askStore } from "./host-kv.ts";
import { parseUrl, setUrlPart } from "./host-url.ts";
import { tellMetric } from "./script-metrics.ts";

/** Asks of one call of a hook; more are refused. */
export const MAX_CALLS = 1000;
const MAX_LOG_CHARS = 32 * 1024;
/** Of all lines of one call of a hook; more are dropped. */
const MAX_LOG_CHARS_OF_CALL = 128 * 1024;
const LEVELS = ["debug", "info", "warn", "error"] as const satisfies readonly (keyof Log)[];

/** Gives the answer; may throw why there is none. */
type HostCall = (run: HookRun, argument: string) => string;

export const HOST_CALLS: Readonly<Record<string, HostCall>> = {
  __proto__: null as never,
  equal: compareData,
  hash: hashData,
  hmac: signData,
  log: writeLog,
  meta: describeRequest,
  metric: tellMetric,
  now: (run) => String(run.stage.host.clock.now()),
  random: createRandom,
  uuid: createUuid,
};

/** What may be asked without a call of a hook, such as while the script is loaded. */
export const FREE_CALLS: Readonly<Record<string, (argument: string) => string>> = {
  __proto__: null as never,
  url: parseUrl,
  "url-set": setUrlPart,
  utf8: (latin1) => Buffer.from(latin1, "latin1").toString(),
};

/** Answers to what takes time. */
export const SLOW_CALLS: Readonly<Record<string, (run: HookRun, argument: string) => Promise<string>>> = {
  __proto__: null as never,
  fetch: fetchForScript,
  kv: askStore,
};

function writeLog(run: HookRun, argument: string): string {
  if (argument.length > MAX_LOG_CHARS) throw new Error(`a log line can have ${MAX_LOG_CHARS} characters`);
  run.logged += argument.length;
  if (run.logged > MAX_LOG_CHARS_OF_CALL) throw new Error("The hook has logged too much");
  const [level, message, fields] = JSON.parse(argument) as [string, string, unknown];
  const known = LEVELS.find((name) => name === level) ?? "info";
  const { bundle } = run.stage;
  const own = fields === undefined ? {} : { fields };
  run.x.log[known]({ script: bundle.name, ...own }, String(message));
  return "";
}

function describeRequest({ x }: HookRun): string {
  return JSON.stringify({ ip: x.clientAddress, id: x.id, params: x.params, consumer: x.consumer });
}
