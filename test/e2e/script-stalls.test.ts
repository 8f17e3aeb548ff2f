/** Scripts that run what no time limit cuts: what is lost, who hears of it, and what happens to the script. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { type RunningCli, startCli } from "../support/cli.ts";

type Line = Record<string, unknown>;

const config = (threads: number): object => ({
  apiVersion: "sluice/v1",
  listeners: [{ address: "127.0.0.1:0" }],
  admin: { address: "127.0.0.1:0" },
  threads,
  routes: [
    {
      name: "scripted",
      match: { path: "/scripted" },
      pipeline: [
        { plugin: "filler", limits: { wall: "500ms" } },
        { plugin: "respond", body: "scripted" },
      ],
    },
    { name: "plain", match: { path: "/plain" }, pipeline: [{ plugin: "respond", body: "plain" }] },
  ],
});

/** Looks for an item when it is asked to, for years: V8 interrupts nothing of that. */
const source = (value: number): string => `
import { definePlugin } from "sluice/plugin";
export default definePlugin({
  request(req) {
    while (req.headers.has("x-loop"));
    let asked = 0;
    const items = { get length() { return asked++ === 0 ? 1 : 2 ** 53 - 1; } };
    if (req.headers.has("x-stall")) Array.prototype.indexOf.call(items, ${value});
  },
});
`;

interface Gateway {
  readonly cli: RunningCli;
  /** Status and text of a reply; what went wrong when there is none. */
  ask(path: string, headers?: Record<string, string>): Promise<string>;
  write(source: string): void;
}

async function start(threads: number, args: string[] = []): Promise<Gateway> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-stalls-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const write = (text: string): void => writeFileSync(join(folder, "plugins", "filler.ts"), text);
  mkdirSync(join(folder, "plugins"));
  write(source(1));
  writeFileSync(join(folder, "gateway.json"), JSON.stringify(config(threads)));
  const cli = await startCli(["-c", join(folder, "gateway.json"), ...args]);
  onTestFinished(() => cli[Symbol.asyncDispose]());
  const ask = async (path: string, headers: Record<string, string> = {}): Promise<string> => {
    try {
      const reply = await fetch(new URL(path, cli.url), { headers: { connection: "close", ...headers } });
      const text = await reply.text();
      return `${reply.status} ${text.startsWith("{") ? (JSON.parse(text) as { code: string }).code : text}`;
    } catch (error) {
      return String((error as Error).cause ?? error);
    }
  };
  return { cli, ask, write };
}

const isServingAfter = (first: number) => (line: Line) =>
  line["msg"] === "sluice is serving" && line["pid"] !== first;
const named = { script: "filler", file: "plugins/filler.ts" };

it.each([1, 2])(
  "with %i threads a stall costs the process, and the script is not run again until it is another",
  async (threads) => {
    const { cli, ask, write } = await start(threads);
    expect([await ask("/scripted"), await ask("/plain")]).toEqual(["200 scripted", "200 plain"]);
    const first = cli.gatewayPid;
    const lost = ask("/scripted", { "x-stall": "1" });
    const stalled = await cli.logged((line) => line["reason"] === "stall" && line["thread"] !== undefined);
    expect(stalled).toMatchObject({
      ...named,
      level: "error",
      msg: expect.stringMatching(/the script filler has kept (it|the thread) for \d{4,5} ms$/),
    });
    await cli.logged(isServingAfter(first));
    expect(await lost).not.toMatch(/^200/);
    const quarantined = await cli.logged((line) => line["reason"] === "killed");
    expect(quarantined).toMatchObject({ ...named, level: "error" });
    const crash = await cli.logged((line) => line["scripts"] !== undefined);
    expect(crash).toMatchObject({ level: "error", scripts: [{ name: "filler", file: "plugins/filler.ts" }] });
    if (threads === 1) await cli.complained(/; it ran the script filler; starting it again/);
    for (let i = 0; i < 4; i++) {
      expect([await ask("/scripted"), await ask("/plain")]).toEqual(["500 SCRIPT_QUARANTINED", "200 plain"]);
    }
    write(source(2));
    await expect.poll(() => ask("/scripted")).toBe("200 scripted");
  },
);

it("a stall of one of two threads costs no request but those that the thread had", async () => {
  const { cli, ask } = await start(2);
  const first = cli.gatewayPid;
  const lost = ask("/scripted", { "x-stall": "1" });
  let isOver = false;
  void cli.logged(isServingAfter(first)).then(() => (isOver = true));
  await cli.logged((line) => line["reason"] === "stall" && line["thread"] !== undefined);
  // Connections to the thread that hangs wait for the next process; the others are served at once.
  const asked: Promise<string>[] = [];
  let served = 0;
  while (!isOver) {
    const answer = ask("/plain");
    asked.push(answer);
    void answer.then(() => (served += isOver ? 0 : 1));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(new Set(await Promise.all(asked))).toEqual(new Set(["200 plain"]));
  expect(served).toBeGreaterThan(0);
  expect(await lost).not.toMatch(/^200/);
});

it("a stall of the only thread ends a process that has no supervisor", async () => {
  const { cli, ask } = await start(1, ["--no-supervise"]);
  const lost = ask("/scripted", { "x-stall": "1" });
  await cli.ended;
  expect(cli.process.signalCode).toBe("SIGKILL");
  expect(cli.lines.at(-1)).toMatchObject({ ...named, level: "error", thread: 0, reason: "stall" });
  expect(await lost).not.toMatch(/^200/);
});

it("a demoted script that never comes back costs no request, and the process is replaced", async () => {
  const { cli, ask } = await start(1);
  const first = cli.gatewayPid;
  let isDemoted = false;
  void cli.logged((line) => line["reason"] === "timeouts").then(() => (isDemoted = true));
  // A busy machine may keep it from running for all of its time: that is not the script's fault, nor demotes it.
  while (!isDemoted) expect(await ask("/scripted", { "x-loop": "1" })).toBe("500 SCRIPT_TIMEOUT");
  const lost = ask("/scripted", { "x-stall": "1" });
  expect(await ask("/plain")).toBe("200 plain");
  expect(await lost).toBe("500 SCRIPT_TIMEOUT");
  expect(await ask("/scripted")).toBe("500 SCRIPT_QUARANTINED");
  await cli.logged((line) => line["reason"] === "killed" && line["script"] === "filler");
  await cli.logged(isServingAfter(first));
  expect([await ask("/scripted"), await ask("/plain")]).toEqual(["500 SCRIPT_QUARANTINED", "200 plain"]);
});
