/** Runs scripts given as text in the real sandbox, in memory: no files, no sockets. */
import type { Handler } from "../../core/plugin.ts";
import type { Reply } from "../../core/reply.ts";
import { readManifest } from "../../core/script/manifest.ts";
import type { ScriptGrants, ScriptLimits } from "../../core/script/script.ts";
import { buildScriptStage } from "../../core/script/stage.ts";
import { createSharedMemory, SharedMemory } from "../../core/threads/shared-memory.ts";
import { surroundings } from "./generation.ts";
import { bodyText, exchange, FakeHost, reply, type RequestInit } from "./harness.ts";

export interface ScriptInit {
  readonly name?: string;
  readonly options?: unknown;
  readonly grants?: Partial<ScriptGrants>;
  readonly limits?: Partial<ScriptLimits>;
  readonly host?: FakeHost;
}

export interface OpenedScript {
  readonly host: FakeHost;
  readonly handler: Handler;
  /** Answers below it; 200 by default. */
  upstream: Handler;
  /** Sends a request through it. */
  ask(request?: RequestInit): Promise<Reply>;
  [Symbol.asyncDispose](): Promise<void>;
}

const NO_MAP = '{"version":3,"sources":[],"mappings":""}';
let versions = 0;
/** Scripts do not meet in it: each has a version of its own. */
const SHARED = new SharedMemory(createSharedMemory(1), 0);

/** @param source the object that definePlugin takes, as text */
export async function openScript(source: string, init: ScriptInit = {}): Promise<OpenedScript> {
  const { name = "test", options = {}, grants, limits, host = new FakeHost() } = init;
  const code = `"use strict"; ({ default: (${source}) })`;
  const file = `plugins/${name}.ts`;
  const manifest = await readManifest(code, { file, map: NO_MAP });
  const version = (++versions).toString(16).padStart(7, "0").padEnd(64, "a");
  if (init.host === undefined) host.shared = SHARED;
  const { log, clock, shared } = host;
  const around = { ...surroundings(new Map(), shared), exposed: new Map(), log, clock };
  const stage = await buildScriptStage(
    { name, version, file, code, map: NO_MAP, manifest },
    {
      version,
      limits: { cpuMs: 1000, memoryBytes: 32 * 1024 ** 2, wallMs: 10_000, ...limits },
      grants: { fetch: undefined, kv: undefined, secrets: {}, ...grants },
    },
    options,
    host,
    around,
  );
  const handler = stage((x) => script.upstream(x));
  const script: OpenedScript = {
    host,
    handler,
    upstream: () => reply(200, {}, "upstream"),
    ask: async (request = {}) => handler(exchange({ ...request, init: { log: host.log, ...request.init } })),
    [Symbol.asyncDispose]: () => host.close(),
  };
  return script;
}

/** A function in the sandbox. Arguments and result go through JSON. */
export interface SandboxFunction {
  readonly host: FakeHost;
  /** @throws Error with the text of what the function threw, as the script saw it */
  (...args: unknown[]): Promise<unknown>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** @param source a function of `ctx`, `req` and the arguments, sync or not, as text */
export async function openFunction(source: string, init: ScriptInit = {}): Promise<SandboxFunction> {
  const script = await openScript(
    `{
      body: { request: "json", max: "16MB" },
      request(req, ctx) {
        const done = (value) => ctx.reply({ body: { value } });
        const failed = (error) => ctx.reply({ status: 500, body: { error: String(error) } });
        try {
          const value = (${source})(ctx, req, ...req.body);
          return typeof value?.then === "function" ? value.then(done, failed) : done(value);
        } catch (error) {
          return failed(error);
        }
      },
    }`,
    init,
  );
  const call = async (...args: unknown[]): Promise<unknown> => {
    const answer = await script.ask({ method: "POST", body: JSON.stringify(args) });
    const { value, error } = JSON.parse(await bodyText(answer)) as { value?: unknown; error?: string };
    if (error !== undefined) throw new Error(error);
    return value;
  };
  return Object.assign(call, {
    host: script.host,
    [Symbol.asyncDispose]: () => script[Symbol.asyncDispose](),
  });
}
