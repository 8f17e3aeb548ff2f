import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { createLog, type LogOptions } from "../../../core/observe/log.ts";

function kept(level: LogOptions["level"]) {
  const lines: Record<string, unknown>[] = [];
  const log = createLog({ level, format: "auto" }, { write: (line) => void lines.push(JSON.parse(line)) });
  return { log, lines };
}

/** Runs `code` with the log's module in a process of its own, and gives its standard output. */
function printed(code: string): string {
  const module = JSON.stringify(new URL("../../../core/observe/log.ts", import.meta.url).href);
  const script = `const { createLog } = await import(${module}); ${code}`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
  });
  expect([status, stderr]).toEqual([0, ""]);
  return stdout;
}

describe("the log", () => {
  it("writes a line of JSON with time, level, fields and message", () => {
    const { log, lines } = kept("debug");
    log.debug({ a: 1 }, "one");
    log.info({}, "two");
    log.warn({ b: { c: 2 } }, "three");
    log.error({ err: new Error("oops") }, "four");
    expect(lines).toMatchObject([
      { level: "debug", a: 1, msg: "one" },
      { level: "info", msg: "two" },
      { level: "warn", b: { c: 2 }, msg: "three" },
      { level: "error", err: { type: "Error", message: "oops", stack: expect.any(String) }, msg: "four" },
    ]);
    expect(Object.keys(lines[1]!)).toEqual(["level", "time", "msg"]);
    expect(Date.parse(lines[0]!["time"] as string)).toBeLessThanOrEqual(Date.now());
  });

  it("has children with fields of their own", () => {
    const { log, lines } = kept("info");
    log.child({ route: "a" }).child({ stage: "b" }).info({ c: 1 }, "hello");
    expect(lines).toMatchObject([{ route: "a", stage: "b", c: 1, msg: "hello" }]);
  });

  it("leaves out what is below its level, which can change", () => {
    const { log, lines } = kept("warn");
    log.info({}, "no");
    log.warn({}, "yes");
    log.setLevel("debug");
    log.debug({}, "now");
    log.setLevel("silent");
    log.error({}, "never");
    expect(lines.map(({ msg }) => msg)).toEqual(["yes", "now"]);
    log.flush();
  });

  it("goes to standard output as JSON where that is no terminal, whole when flushed", () => {
    for (const format of ["json", "auto"]) {
      const out = printed(`
        const log = createLog({ level: "info", format: ${JSON.stringify(format)} });
        await new Promise((resolve) => setImmediate(resolve));
        for (let i = 0; i < 3; i++) log.info({ i }, "line");
        log.flush();
        process.exit(0);`);
      const lines = out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as object);
      expect(lines).toMatchObject([{ i: 0 }, { i: 1 }, { i: 2 }]);
    }
  });

  it("does not keep the process", () => {
    expect(printed(`createLog({ level: "info", format: "json" });`)).toBe("");
  });

  it("is written for people where that is asked for", () => {
    const out = printed(`createLog({ level: "info", format: "pretty" }).warn({ a: 1 }, "careful");`);
    expect(out).toMatch(/^\[\d\d:\d\d:\d\d\.\d{3}\] WARN: careful {2}a=1\n$/);
  });

  it("can be opened for standard output and flushed without having said anything", () => {
    for (const format of ["json", "pretty", "auto"] as const) createLog({ level: "silent", format }).flush();
  });
});
