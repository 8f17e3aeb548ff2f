import { spawnSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { LogOutput } from "../../../core/observe/log-output.ts";

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "sluice-log-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** An output to a file, and what is in the file. */
function toFile() {
  const file = join(temporary(), "log");
  const fd = openSync(file, "a");
  onTestFinished(() => closeSync(fd));
  return { output: new LogOutput(fd), read: () => readFileSync(file, "utf8") };
}

/** An output to a pipe that nobody reads until told to. */
function toPipe() {
  const path = join(temporary(), "pipe");
  expect(spawnSync("mkfifo", [path]).status).toBe(0);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  onTestFinished(() => closeSync(fd));
  const chunk = Buffer.alloc(1 << 20);
  const read = (): string => {
    try {
      return chunk.toString("latin1", 0, readSync(fd, chunk));
    } catch {
      return ""; // EAGAIN: nothing there now
    }
  };
  return { output: new LogOutput(fd), read };
}

const numbered = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, i) => `line ${from + i}\n`).join("");

describe("the output of the log", () => {
  it("collects lines, and writes them in order after a moment", async () => {
    const { output, read } = toFile();
    for (let i = 0; i < 3; i++) output.write(`line ${i}\n`);
    expect(read()).toBe("");
    await expect.poll(read).toBe(numbered(0, 3));
    output.write("line 3\n");
    await expect.poll(read).toBe(numbered(0, 4));
  });

  it("drains what was collected and what is under way, each line once", async () => {
    const { output, read } = toFile();
    for (let i = 0; i < 5000; i++) output.write(`line ${i}\n`);
    await output.drain();
    output.flush();
    expect(read()).toBe(numbered(0, 5000));
  });

  it("writes what was collected at once when it is flushed", () => {
    const { output, read } = toFile();
    output.flush();
    output.write("line 0\n");
    output.flush();
    expect(read()).toBe("line 0\n");
    output.write("line 1\n");
    output.flush();
    expect(read()).toBe(numbered(0, 2));
  });

  it("writes all of many lines in order", async () => {
    const { output, read } = toFile();
    for (let i = 0; i < 20_000; i++) {
      output.write(`line ${i}\n`);
      if (i % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await expect.poll(() => read().length).toBe(numbered(0, 20_000).length);
    expect(read()).toBe(numbered(0, 20_000));
  });

  it("waits for a slow reader without losing or repeating anything", async () => {
    const { output, read } = toPipe();
    const all = numbered(0, 40_000);
    for (const line of all.match(/.*\n/g)!) output.write(line);
    let got = "";
    await expect.poll(() => (got += read()).length, { timeout: 10_000, interval: 1 }).toBe(all.length);
    expect(got).toBe(all);
  });

  it("drops lines beyond a limit while nobody reads, and says how many", async () => {
    const { output, read } = toPipe();
    const megabyte = `${"x".repeat((1 << 20) - 1)}\n`;
    for (let i = 0; i < 24; i++) output.write(megabyte);
    let got = "";
    const drain = (): boolean => {
      got = got.slice(-200) + read();
      output.write("after\n");
      return got.includes('"dropped":');
    };
    await expect.poll(drain, { timeout: 15_000, interval: 1 }).toBe(true);
    expect(got).toMatch(/\n\{"level":"warn","dropped":\d+,"msg":"log lines were dropped"\}\nafter\n/);
  });

  it("gives up a flush that nobody reads", () => {
    const { output } = toPipe();
    output.write(`${"x".repeat(200_000)}\n`);
    const start = performance.now();
    output.flush();
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it("goes on quietly when the reader is gone", async () => {
    for (const flush of [true, false]) {
      const output = new LogOutput(1_000_000); // no such file descriptor
      output.write(`${"x".repeat(10_000)}\n`);
      if (flush) output.flush();
      await new Promise((resolve) => setImmediate(resolve));
      output.write("more\n");
      output.flush();
    }
  });
});
