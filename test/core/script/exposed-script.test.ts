import { beforeEach, expect, it, onTestFinished } from "vitest";
import { monotonicMs } from "../../../core/clock.ts";
import { ConfigError } from "../../../core/errors.ts";
import type { ExposedThings } from "../../../core/generation.ts";
import type { Exposed, Handler } from "../../../core/plugin.ts";
import { textReply } from "../../../core/reply.ts";
import type { ScriptRunner } from "../../../core/script/runner.ts";
import type { ScriptBundle } from "../../../core/script/script.ts";
import { buildScriptStage } from "../../../core/script/stage.ts";
import { surroundings } from "../../support/generation.ts";
import { exchange, FakeHost } from "../../support/harness.ts";

const around = { ...surroundings(new Map()), exposed: new Map() as ExposedThings };
let host: FakeHost;
let version = 0;

beforeEach(() => {
  host = new FakeHost();
  around.exposed.clear();
  version++;
  onTestFinished(() => {
    for (const kept of host.kept.values()) (kept as { close?(): void }).close?.();
  });
});

/** Builds a stage of a script whose request hook has this body. */
async function build(
  hook: string,
  { name = "greet", edition = 0, route = "users", memoryBytes = 16e6 } = {},
): Promise<Handler> {
  const bundle: ScriptBundle = {
    name,
    version: `${version}${edition}`.padStart(64, "a"),
    file: `plugins/${name}.ts`,
    code: `({ default: { request(req, ctx) { ${hook} } } })`,
    map: '{"version":3,"sources":[],"mappings":""}',
    manifest: {
      schema: { type: "object" },
      hooks: { request: true, response: false },
      body: { request: undefined, response: undefined, maxBytes: 65_536 },
    },
  };
  host.route = route;
  const grants = { fetch: undefined, kv: undefined, secrets: {} };
  const limits = { cpuMs: 20, memoryBytes, wallMs: 1000 };
  const script = { version: bundle.version, limits, grants };
  const own = { ...around, metrics: host.metrics as (typeof around)["metrics"] };
  return (await buildScriptStage(bundle, script, {}, host, own))(() => textReply(200, "ok"));
}

const scripts = (): Map<string, Exposed> => around.exposed.get("scripts") ?? new Map();
const close = (): void => {
  for (const [key, kept] of host.kept) {
    if (!key.startsWith("script ")) continue;
    (kept as ScriptRunner).close();
    host.kept.delete(key);
  }
};

it("shows a script once, with all routes that use it and what it did on all of them", async () => {
  const first = await build("", { route: "users" });
  const second = await build("", { route: "orders", memoryBytes: 32e6 });
  await first(exchange());
  await second(exchange());
  expect([...scripts().keys()]).toEqual(["greet"]);
  expect(scripts().get("greet")!.describe()).toMatchObject({
    name: "greet",
    file: "plugins/greet.ts",
    routes: ["users", "orders"],
    state: "running",
    calls: 2,
    errors: {},
    lastError: undefined,
  });
});

it("keeps scripts apart that have a name in common", async () => {
  await build("", { edition: 1 });
  await build("", { edition: 2 });
  expect([...scripts().keys()]).toEqual(["greet", "greet@aaaaaaaaaaaa"]);
});

it("tells what went wrong, and why it is in quarantine; is set back by an operator", async () => {
  const handler = await build('if (req.path === "/loop") for (;;); throw new Error("no")');
  await expect(Promise.resolve().then(() => handler(exchange()))).rejects.toMatchObject({
    code: "SCRIPT_THREW",
  });
  const script = scripts().get("greet")!;
  expect(script.describe()).toMatchObject({
    state: "running",
    errors: { SCRIPT_THREW: 1 },
    lastError: { code: "SCRIPT_THREW", message: "script greet: Error: no" },
  });
  const [runner] = [...host.kept.values()].filter((kept) => "ladder" in (kept as object)) as ScriptRunner[];
  runner!.ladder.onFault();
  expect(script.describe()).toMatchObject({ state: "demoted" });
  runner!.quarantine.impose("timeouts", 30_000, monotonicMs());
  await expect(Promise.resolve().then(() => handler(exchange()))).rejects.toMatchObject({
    code: "SCRIPT_QUARANTINED",
  });
  expect(script.describe()).toMatchObject({
    state: "quarantined",
    quarantine: { reason: "timeouts" },
    errors: { SCRIPT_THREW: 1, SCRIPT_QUARANTINED: 1 },
    lastError: { code: "SCRIPT_THREW" },
  });
  expect(() => script.change!({ state: "demoted" })).toThrow(ConfigError);
  expect(() => script.change!(null)).toThrow(ConfigError);
  expect(() => script.change!({ state: "running", force: 1 })).toThrow("Only `state` can be set");
  script.change!({ state: "running" });
  expect(script.describe()).toMatchObject({ state: "running", quarantine: undefined });
  expect(host.collected("sluice_script_state")).toEqual({ '{"script":"greet"}': 0 });
});

it("counts on when another version takes its place, and forgets a script that is gone", async () => {
  const old = await build('throw new Error("no")', { edition: 1 });
  await Promise.resolve()
    .then(() => old(exchange()))
    .catch(() => {});
  const before = [...host.kept.entries()].find(([key]) => key.startsWith("script "))!;
  host.kept.delete(before[0]);
  const next = await build("", { edition: 2 });
  (before[1] as ScriptRunner).close();
  await next(exchange());
  const script = '{"script":"greet"}';
  expect(host.collected("sluice_script_calls_total")).toEqual({ [script]: 2 });
  expect(host.collected("sluice_script_demotions_total")).toEqual({ [script]: 0 });
  expect(host.collected("sluice_script_errors_total")).toEqual({
    '{"script":"greet","reason":"SCRIPT_THREW"}': 1,
  });
  expect(host.collected("sluice_script_cpu_seconds_total")[script]).toBeGreaterThan(0);
  expect(host.collected("sluice_script_heap_bytes")[script]).toBeGreaterThan(0);
  close();
  expect(host.collected("sluice_script_calls_total")).toEqual({});
});
