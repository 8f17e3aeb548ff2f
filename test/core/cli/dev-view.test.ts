import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DevView } from "../../../core/cli/dev-view.ts";

let folder: string;
let shown: string;

beforeEach(async () => {
  vi.useFakeTimers();
  folder = await mkdtemp(join(tmpdir(), "sluice-dev-view-"));
  shown = "";
});
afterEach(async () => {
  vi.useRealTimers();
  await rm(folder, { recursive: true, force: true });
});

function open(isTty = false, env: Record<string, string> = {}): (line: object) => void {
  const write = (text: string): void => void (shown += text);
  const view = new DevView({ cwd: folder, env, isTty, write, writeError: write }, folder);
  const time = new Date(2026, 0, 1, 12, 30, 15).toISOString();
  return (line) => view.write(`${JSON.stringify({ level: "info", time, ...line })}\n`);
}

const request = (id: string, status = 200): object => ({
  msg: "request",
  requestId: `0123456789ab-${id}`,
  method: "GET",
  path: "/x",
  status,
  durationMs: 1.25,
  route: "all",
});
const script = (id: string, msg: string, more: object = {}): object => ({
  level: "debug",
  msg,
  requestId: `0123456789ab-${id}`,
  route: "all",
  script: "greet",
  ...more,
});

describe("the view of a developer", () => {
  it("shows below each request what scripts logged for it, whichever came first", () => {
    const log = open();
    log({ msg: "sluice is serving" });
    log(script("1", "first", { fields: { user: 7 } }));
    log(script("2", "second", { level: "warn" }));
    log(request("2", 404));
    log(request("1"));
    expect(shown).toBe(`12:30:15 info  sluice is serving
12:30:15 warn  #2 GET /x 404 1.3 ms  route=all
         warn  greet: second
12:30:15 info  #1 GET /x 200 1.3 ms  route=all
         debug greet: first  user=7
`);
  });

  it("shows the line of a file in which a script failed", async () => {
    await writeFile(join(folder, "greet.ts"), 'one();\n  throw new Error("boom");\n');
    const log = open();
    const stack = "Error: boom\n    at request (greet.ts:2:9)";
    log(
      script("1", "A script failed", {
        level: "error",
        script: undefined,
        code: "SCRIPT_THREW",
        err: { stack },
      }),
    );
    log(request("1", 500));
    expect(shown).toBe(`12:30:15 error #1 GET /x 500 1.3 ms  route=all
         error A script failed  code=SCRIPT_THREW
               2 |   throw new Error("boom");
                 |         ^^^
           Error: boom
               at request (greet.ts:2:9)
`);
  });

  it("does not wait for ever for a request that goes on, and names it instead", () => {
    const log = open();
    log(script("1", "early"));
    expect(shown).toBe("");
    vi.advanceTimersByTime(1000);
    expect(shown).toBe("         debug #1 greet: early\n");
    log({ ...script("1", "of a client"), requestId: "abcdefghijkl" });
    vi.advanceTimersByTime(1000);
    expect(shown).toContain("#efghijkl greet: of a client\n");
    log(request("1"));
    expect(shown.match(/early/g)).toHaveLength(1);
  });

  it("holds no more than it must", () => {
    const log = open();
    for (let i = 0; i < 1001; i++) log(script(String(i), "line"));
    expect(shown).toBe("         debug #1000 greet: line\n");
  });

  it("has colours on a terminal, unless NO_COLOR is set", () => {
    open(true)(request("1", 503));
    expect(shown).toContain("\u001b[31merror\u001b[0m");
    shown = "";
    open(true, { NO_COLOR: "1" })(request("1", 503));
    expect(shown).not.toContain("\u001b");
  });
});
