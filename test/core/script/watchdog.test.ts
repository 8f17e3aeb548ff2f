import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { Readable } from "node:stream";
import { expect, it, onTestFinished } from "vitest";
import { monotonicMs } from "../../../core/clock.ts";
import { ScriptNames } from "../../../core/script/names.ts";
import { type ScriptBundle, scriptId } from "../../../core/script/script.ts";
import { type FromWatchdog, Watchdog } from "../../../core/script/watchdog.ts";
import { ownSystemId } from "../../../core/supervisor/thread-time.ts";
import { createVitals, Vitals } from "../../../core/threads/vitals.ts";
import { FakeLog } from "../../support/harness.ts";
import { STALLING } from "../../support/hostile-plugins.ts";

const ID = scriptId(STALLING.version);
const CONFIG = {
  scripts: { [STALLING.version]: STALLING as ScriptBundle },
  log: { level: "info", format: "json", access: true, stageTimings: false },
} as const;

/** A watchdog of two threads, and the place of this one among them. */
function setUp() {
  const folder = mkdtempSync(join(tmpdir(), "sluice-watchdog-"));
  const path = join(folder, "notes");
  const note = openSync(path, "w");
  const memory = createVitals(2);
  const vitals = new Vitals(memory, 1);
  vitals.systemId = ownSystemId();
  const { promise: stall, resolve: onStall } = Promise.withResolvers<FromWatchdog>();
  const names = new ScriptNames();
  const watchdog = new Watchdog({
    vitals: memory,
    note,
    isOnlyThread: false,
    names,
    log: new FakeLog(),
    onStall,
  });
  onTestFinished(() => {
    watchdog.close();
    closeSync(note);
    rmSync(folder, { recursive: true });
  });
  const notes = (): unknown[] =>
    readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  return { vitals, watchdog, stall, names, notes };
}

it("writes down which script has run for a while, and that it has ended", async () => {
  const { vitals, watchdog, names, notes } = setUp();
  watchdog.follow(CONFIG);
  expect(names.get(ID)).toEqual(STALLING);
  vitals.enterScript(ID, monotonicMs());
  await expect.poll(notes).toEqual([{ thread: 1, script: STALLING }]);
  vitals.leaveScript();
  await expect.poll(notes).toEqual([{ thread: 1, script: STALLING }, { thread: 1 }]);
});

it("tells of a script that has kept a thread for a second", async () => {
  const { vitals, watchdog, stall, notes } = setUp();
  watchdog.follow(CONFIG);
  vitals.enterScript(ID, monotonicMs());
  await expect.poll(() => notes().length).toBe(1);
  const end = performance.now() + 1100;
  while (performance.now() < end);
  expect(await stall).toEqual({ thread: 1, sequence: 1, script: STALLING, ranMs: expect.any(Number) });
  expect((await stall).ranMs).toBeGreaterThanOrEqual(1000);
});

it("watches nothing as long as there are no scripts", async () => {
  const { vitals, watchdog, notes } = setUp();
  watchdog.follow({ ...CONFIG, scripts: {} });
  vitals.enterScript(ID, monotonicMs());
  await new Promise((resolve) => setImmediate(resolve));
  expect(notes()).toEqual([]);
});

it("ends the process when the only thread hangs, and says why to whoever can still hear it", async () => {
  const path = new URL("../../support/stalling-process.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [path], { stdio: ["ignore", "pipe", "inherit", "pipe"] });
  const [said, noted] = [text(child.stdout!), text(child.stdio[3] as Readable)];
  expect(await once(child, "exit")).toEqual([null, "SIGKILL"]);
  const stalled = expect.stringMatching(/^the script stalling has kept the thread for \d{4,5} ms$/);
  const notes = (await noted).trimEnd().split("\n");
  expect(notes.map((line) => JSON.parse(line))).toEqual([
    { thread: 0, script: STALLING },
    { thread: 0, script: STALLING, stalled },
  ]);
  expect(JSON.parse(await said)).toEqual({
    level: "error",
    time: expect.stringMatching(/^\d{4}-.*Z$/),
    thread: 0,
    reason: "stall",
    script: "stalling",
    version: STALLING.version,
    file: "plugins/stalling.ts",
    msg: expect.stringMatching(/^the process is ended: the script stalling has kept/),
  });
});
