import { describe, expect, it } from "vitest";
import type { GatewayError } from "../../../core/errors.ts";
import type { KeyValueStore } from "../../../core/store/store.ts";
import { ScriptRunner } from "../../../core/script/runner.ts";
import { CALL_BUCKETS_MS } from "../../../core/script/script-stats.ts";
import { FakeHost, exchange } from "../../support/harness.ts";
import { type OpenedScript, openScript } from "../../support/scripts.ts";

const KV = { kv: { store: "main", namespace: "n" } };

/** What a call with this path comes to: its status, or the code that it fails with. */
const ask = (script: OpenedScript, path: string): Promise<string> =>
  script.ask({ target: path }).then(
    ({ status }) => String(status),
    (error: GatewayError) => error.code,
  );

const runnerOf = ({ host }: OpenedScript): ScriptRunner =>
  [...host.kept.values()].find((kept) => kept instanceof ScriptRunner)!;

/** A store that answers when it is told to. */
function slowStore(): { host: FakeHost; answer(): Promise<void> } {
  const host = new FakeHost();
  let answer = (): void => {};
  const get = (): Promise<string> => new Promise((resolve) => (answer = () => resolve("late")));
  host.stores = new Map([["main", { get } as unknown as KeyValueStore]]);
  return {
    host,
    async answer() {
      answer();
      await new Promise(setImmediate);
    },
  };
}

describe("what a hook began and did not wait for", () => {
  it.each([
    ["it has ended", "request(req, ctx)", ""],
    ["it has ended without waiting", "async request(req, ctx)", ""],
    ["it has thrown", "request(req, ctx)", "throw 1;"],
    ["it was cut", "request(req, ctx)", "for (;;);"],
  ])("runs on no more when %s", async (_, head, end) => {
    const { host, answer } = slowStore();
    await using script = await openScript(
      `{ ${head} { ctx.kv.get("a").then((value) => ctx.log.info(value)); ${end} } }`,
      { host, grants: KV, limits: { cpuMs: 20 } },
    );
    await ask(script, "/");
    await answer();
    expect(host.log.lines.filter(({ message }) => message === "late")).toEqual([]);
  });
});

it("counts the time of a call with what it waited for", async () => {
  const { host, answer } = slowStore();
  await using script = await openScript(`{ async request(req, ctx) { await ctx.kv.get("a"); } }`, {
    host,
    grants: KV,
  });
  const asked = script.ask();
  const { stats } = runnerOf(script);
  expect(stats.calls).toBe(0);
  const until = performance.now() + 6;
  while (performance.now() < until) await new Promise(setImmediate);
  await answer();
  await asked;
  expect(stats.calls).toBe(1);
  expect(stats.buckets.slice(CALL_BUCKETS_MS.indexOf(5) + 1)).toContain(1);
});

const BUSY = `{ async request(req, ctx) {
  const loop = (ms) => { const end = Date.now() + ms; while (Date.now() < end); };
  if (req.path === "/busy") loop(200);
  if (req.path === "/later") { await ctx.kv.get("a"); loop(800); }
} }`;

describe("a demoted script", () => {
  it("that has not used up its time limit when nobody waits any more is not taken for one that hangs", async () => {
    await using script = await openScript(BUSY, { limits: { cpuMs: 100, wallMs: 150 } });
    runnerOf(script).ladder.onFault();
    expect(await ask(script, "/busy")).toBe("SCRIPT_TIMEOUT");
    expect(await ask(script, "/")).toBe("200");
  });

  it("is not taken for one that hangs when calls wait for others", async () => {
    await using script = await openScript(BUSY, { limits: { cpuMs: 100, wallMs: 500 } });
    runnerOf(script).ladder.onFault();
    const all = await Promise.all(Array.from({ length: 6 }, () => ask(script, "/busy")));
    expect(all).not.toContain("SCRIPT_QUARANTINED");
    expect(all.at(-1)).toBe("SCRIPT_TIMEOUT");
    await expect.poll(() => ask(script, "/")).toBe("200");
  });

  it("can be looked at while it runs on, without waiting for it", async () => {
    await using script = await openScript(BUSY, { grants: KV, limits: { cpuMs: 400 } });
    runnerOf(script).ladder.onFault();
    const asked = ask(script, "/later");
    let slowest = 0;
    let isOver = false;
    void asked.then(() => (isOver = true));
    while (!isOver) {
      await new Promise(setImmediate);
      const began = performance.now();
      void runnerOf(script).heapBytes;
      slowest = Math.max(slowest, performance.now() - began);
    }
    expect(await asked).toBe("200");
    expect(slowest).toBeLessThan(500);
  });

  it("counts one fault for an isolate that took too much memory, however many calls were in it", async () => {
    const { host, answer } = slowStore();
    const bomb = `{ async request(req, ctx) {
          if (req.path === "/wait") await ctx.kv.get("a");
      const all = [];
      while (req.path === "/bomb") all.push(new Array(10_000).fill(all));
    } }`;
    await using script = await openScript(bomb, {
      host,
      grants: KV,
      limits: { cpuMs: 200, memoryBytes: 8 * 1024 ** 2 },
    });
    runnerOf(script).ladder.onFault();
    const paths = ["/bomb", "/wait", "/wait", "/wait", "/wait", "/"];
    expect((await Promise.all(paths.map((path) => ask(script, path)))).slice(0, 5)).toEqual(
      Array.from({ length: 5 }, () => "SCRIPT_MEMORY"),
    );
    await answer();
    expect(await ask(script, "/")).toBe("200");
  });

  it("that hangs is quarantined when the client leaves as well", async () => {
    // Looks for an item for seconds: V8 interrupts nothing of that.
    const stall = `{ request(req) {
          let asked = 0;
      const items = { get length() { return asked++ === 0 ? 1 : 2 ** 53 - 1; } };
      if (req.path === "/stall") Array.prototype.indexOf.call(items, 1, 2 ** 53 - 1 - 5e6);
    } }`;
    await using script = await openScript(stall, { limits: { cpuMs: 20 } });
    runnerOf(script).ladder.onFault();
    const x = exchange({ target: "/stall" });
    const asked = Promise.resolve(script.handler(x)).catch((error: GatewayError) => error.code);
    setImmediate(() => x.abort(new Error("gone")));
    expect(await asked).toBe("CLIENT_CLOSED");
    await expect.poll(() => ask(script, "/")).toBe("SCRIPT_QUARANTINED");
  });
});

it("that hangs when its isolate is made anew is quarantined: each try would cost a thread", async () => {
  const hang =
    "Array.prototype.indexOf.call({ get length() { return globalThis.n++ ? 2 ** 53 - 1 : 1; } }, 1, 2 ** 53 - 1 - 3e7)";
  const from = Date.now() + 1000;
  await using script = await openScript(
    `(globalThis.n = 0, Date.now() > ${from} && ${hang}, { request(req) {
      const all = [];
      while (req.path === "/bomb") all.push(new Array(10_000).fill(all));
    } })`,
    { limits: { memoryBytes: 8 * 1024 ** 2 } },
  );
  expect(await ask(script, "/bomb")).toBe("SCRIPT_MEMORY");
  await expect.poll(() => Date.now()).toBeGreaterThan(from);
  expect(await ask(script, "/")).toBe("SCRIPT_TIMEOUT");
  expect(await ask(script, "/")).toBe("SCRIPT_QUARANTINED");
});
