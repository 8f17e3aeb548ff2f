/** `sluice start` keeps the gateway running. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readThreadTime } from "../../core/supervisor/thread-time.ts";
import { ask } from "../support/ask.ts";
import { MAIN, type RunningCli, startCli } from "../support/cli.ts";
import { startLoad } from "../support/load.ts";
import { MISBEHAVE } from "../support/misbehave.ts";
import { freePort } from "../support/ports.ts";
import { requireProgram } from "../support/programs.ts";
import { startUpstream } from "../support/upstream.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-supervisor-"));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const RESPOND = `apiVersion: sluice/v1
threads: 1
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
routes:
  - { name: all, match: { path: /* }, pipeline: [{ plugin: respond, body: hello }] }
`;

async function write(text: string, name = "gateway.yaml"): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const isServing = (line: Record<string, unknown>): boolean => line["msg"] === "sluice is serving";

/** Waits until another process serves than now. */
async function nextServes(cli: RunningCli): Promise<void> {
  const before = new Set(cli.lines.filter(isServing));
  await cli.logged((line) => isServing(line) && !before.has(line));
}

const SLOW = (upstream: string): string => `apiVersion: sluice/v1
threads: 1
listeners: [{ address: 127.0.0.1:0 }]
upstreams: { main: { targets: ["${upstream}"] } }
routes: [{ name: all, match: { path: /* }, upstream: main }]
`;

/** An upstream whose replies wait until they are released. */
async function startSlow() {
  const arrived = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const upstream = await startUpstream(async (_request, response) => {
    arrived.resolve();
    await gate.promise;
    response.end("done");
  });
  return Object.assign(upstream, { arrived: arrived.promise, release: gate.resolve });
}

/** Waits until the main thread of a process runs and does nothing else. */
async function hangs(pid: number): Promise<void> {
  const before = readThreadTime(pid, pid)!.cpuMs;
  while (readThreadTime(pid, pid)!.cpuMs - before < 200)
    await new Promise((resolve) => setTimeout(resolve, 20));
}

/** The parent of a process; undefined when that has ended. */
function parentOf(pid: number): number | undefined {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
  } catch {
    return undefined;
  }
}

/** How many sockets listen on the port of a URL. */
async function listeningOn(url: string): Promise<number> {
  const port = Number(new URL(url).port).toString(16).toUpperCase().padStart(4, "0");
  const table = await readFile("/proc/net/tcp", "utf8");
  return table.match(new RegExp(`:${port} 00000000:0000 0A`, "g"))?.length ?? 0;
}

describe("a gateway that ends without being asked", () => {
  it("is started again on the same ports, and says how it ended", async () => {
    await using cli = await startCli(["-c", await write(RESPOND)]);
    const first = cli.gatewayPid;
    await (await fetch(cli.url)).text();
    const restarted = nextServes(cli);
    process.kill(first, "SIGKILL");
    await restarted;
    expect(await (await fetch(cli.url)).text()).toBe("hello");
    expect(cli.gatewayPid).not.toBe(first);
    const note = await cli.logged((line) => line["level"] === "error");
    expect(note).toMatchObject({
      msg: "the gateway ended unexpectedly and was started again",
      pid: first,
      reason: "killed by SIGKILL",
      generation: 1,
    });
    expect(cli.complaint).toContain(`(process ${first}) ended unexpectedly`);
    const stats = await (await fetch(`${cli.adminUrl}/admin/stats`)).json();
    expect(stats).toMatchObject({ lastCrash: { pid: first, reason: "killed by SIGKILL" } });
    const metrics = await (await fetch(`${cli.adminUrl}/metrics`)).text();
    expect(metrics).toContain("sluice_process_restarts_total 1\n");
    expect(await cli.stop()).toBe(0);
  });

  it.each([1, 2])(
    "leaves connections that come meanwhile waiting, not refused (%i threads)",
    async (threads) => {
      const file = await write(RESPOND.replace("threads: 1", `threads: ${threads}`));
      await using cli = await startCli(["-c", file]);
      const restarted = nextServes(cli);
      process.kill(cli.gatewayPid, "SIGKILL");
      const replies = await Promise.all(Array.from({ length: 20 }, () => ask(cli.url)));
      for (const reply of replies) expect(reply).toMatch(/^HTTP\/1.1 200 OK\r\n.*hello$/s);
      await restarted;
      expect(await listeningOn(cli.url)).toBe(threads);
    },
  );

  it("loses the requests under way, and no other, under load", async () => {
    await using cli = await startCli(["-c", await write(RESPOND)]);
    const check = (status: number): string | undefined => (status === 200 ? undefined : `status ${status}`);
    const load = startLoad(cli.url, 16, check, false);
    for (let i = 0; i < 2; i++) {
      await load.answeredMore(100);
      const restarted = nextServes(cli);
      process.kill(cli.gatewayPid, "SIGKILL");
      await restarted;
    }
    await load.answeredMore(100);
    await load.stop();
    // Each client has one request going.
    expect(load.failures.length).toBeLessThanOrEqual(2 * 16);
    expect(load.failures.filter((problem) => problem.includes("ECONNREFUSED"))).toEqual([]);
  });

  it("is tried again until its configuration can be used", async () => {
    const file = await write(RESPOND);
    await using cli = await startCli(["-c", file, "--no-watch"]);
    await write("nonsense: true");
    const restarted = nextServes(cli);
    process.kill(cli.gatewayPid, "SIGKILL");
    await cli.complained(/exit status 1; starting it again in \d+ ms/);
    await write(RESPOND);
    await restarted;
    expect(await (await fetch(cli.url)).text()).toBe("hello");
  });

  it("is given up after a crash loop, with status 70", async () => {
    const env = { ...MISBEHAVE, CRASH_ON_RESTART: "yes" };
    await using cli = await startCli(["-c", await write(RESPOND)], env);
    process.kill(cli.gatewayPid, "SIGKILL");
    expect(await cli.ended).toBe(70);
    expect(cli.complaint).toMatch(
      /ended 8 times in a row without serving for long, at last: exit status 3; giving up/,
    );
    await expect(fetch(cli.url)).rejects.toThrow("fetch failed");
  });
});

describe("a gateway that hangs", () => {
  it("is killed and started again when its only thread does", async () => {
    await using cli = await startCli(["-c", await write(RESPOND)], MISBEHAVE);
    const restarted = nextServes(cli);
    process.kill(cli.gatewayPid, "SIGWINCH");
    await hangs(cli.gatewayPid);
    const reply = ask(cli.url);
    await restarted;
    expect(await reply).toMatch(/hello$/);
    expect(await cli.logged((line) => line["level"] === "error")).toMatchObject({
      reason: expect.stringMatching(/^stalled: busy for [\d.]+ s without a sign of life$/),
    });
  });

  it("keeps the sockets of a data thread that is replaced", async () => {
    const file = await write(RESPOND.replace("threads: 1", "threads: 2"));
    await using cli = await startCli(["-c", file], MISBEHAVE);
    const check = (status: number): string | undefined => (status === 200 ? undefined : `status ${status}`);
    const load = startLoad(cli.url, 8, check, false);
    await load.answeredMore(100);
    process.kill(cli.gatewayPid, "SIGPWR");
    await cli.logged((line) => line["msg"] === "a new data thread serves");
    await load.answeredMore(100);
    await load.stop();
    expect(load.failures.length).toBeLessThanOrEqual(8);
    expect(load.failures.filter((problem) => problem.includes("ECONNREFUSED"))).toEqual([]);
    expect(await listeningOn(cli.url)).toBe(2);
  });
});

describe("the supervisor", () => {
  it("reloads the configuration on SIGHUP", async () => {
    const file = await write(RESPOND);
    await using cli = await startCli(["-c", file, "--no-watch"]);
    await write(RESPOND.replace("hello", "good morning"));
    cli.process.kill("SIGHUP");
    await cli.logged((line) => line["generation"] === 2);
    expect(await (await fetch(cli.url)).text()).toBe("good morning");
    cli.process.kill("SIGHUP");
    await cli.logged((line) => String(line["msg"]).startsWith("reload: the configuration is the one"));
  });

  it("drains once when a terminal interrupts all processes at once", async () => {
    await using upstream = await startSlow();
    await using cli = await startCli(["-c", await write(SLOW(upstream.url))], {}, { isGroup: true });
    const reply = fetch(cli.url);
    await upstream.arrived;
    process.kill(-cli.process.pid!, "SIGINT");
    await cli.logged((line) => String(line["msg"]).startsWith("stopping"));
    upstream.release();
    expect(await (await reply).text()).toBe("done");
    expect(await cli.ended).toBe(0);
  });

  it("reloads on SIGHUP while its terminal is there, and ends when that is closed", async () => {
    const command = `exec ${process.execPath} ${MAIN} start -c ${await write(RESPOND)}`;
    const terminal = spawn(requireProgram("script", "bsdutils"), ["-qfec", command, "/dev/null"], {
      env: { ...process.env, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let screen = "";
    terminal.stdout.on("data", (text) => {
      screen += text;
    });
    const shown = async (pattern: RegExp): Promise<RegExpExecArray> => {
      while (!pattern.test(screen)) await once(terminal.stdout, "data");
      return pattern.exec(screen)!;
    };
    const gateway = Number((await shown(/sluice is serving .*pid=(\d+)/))[1]);
    const supervisor = parentOf(gateway)!;
    process.kill(supervisor, "SIGHUP");
    await shown(/reload: the configuration is the one that serves/);
    terminal.kill("SIGKILL");
    await expect.poll(() => [parentOf(gateway), parentOf(supervisor)]).toEqual([undefined, undefined]);
  });

  it("is who stops the gateway: signals to that process alone are left to it", async () => {
    await using cli = await startCli(["-c", await write(RESPOND)]);
    process.kill(cli.gatewayPid, "SIGTERM");
    process.kill(cli.gatewayPid, "SIGHUP");
    process.kill(cli.gatewayPid, "SIGUSR2");
    expect(await (await fetch(cli.url)).text()).toBe("hello");
    expect(await cli.stop()).toBe(0);
    expect(cli.lines.filter((line) => String(line["msg"]).startsWith("reload"))).toEqual([]);
  });

  it("takes the gateway with it when it is killed: that drains", async () => {
    await using upstream = await startSlow();
    await using cli = await startCli(["-c", await write(SLOW(upstream.url))]);
    const reply = fetch(cli.url);
    await upstream.arrived;
    cli.process.kill("SIGKILL");
    await cli.logged((line) => String(line["msg"]).startsWith("stopping"));
    await expect(fetch(cli.url)).rejects.toThrow("fetch failed");
    upstream.release();
    expect(await (await reply).text()).toBe("done");
    await cli.ended;
    expect(cli.lines.at(-1)).toMatchObject({ msg: "stopped" });
  });

  it("ends while it waits to start the gateway again", async () => {
    const env = { ...MISBEHAVE, CRASH_ON_RESTART: "yes" };
    await using cli = await startCli(["-c", await write(RESPOND)], env);
    process.kill(cli.gatewayPid, "SIGKILL");
    await cli.complained(/in 400 ms/);
    expect(await cli.stop()).toBe(0);
  });
});

describe("without a supervisor", () => {
  it("one process does it all: reload, drain, end", async () => {
    const file = await write(RESPOND);
    await using cli = await startCli(["-c", file, "--no-watch", "--no-supervise"]);
    expect(cli.process.pid).toBe(cli.gatewayPid);
    await write(RESPOND.replace("hello", "good morning"));
    cli.process.kill("SIGHUP");
    await cli.logged((line) => line["generation"] === 2);
    cli.process.kill("SIGUSR2");
    await cli.logged((line) => line["msg"] === "no upgrade: that needs a supervisor");
    expect(await (await fetch(cli.url)).text()).toBe("good morning");
    expect(await cli.stop()).toBe(0);
  });
});

describe("of two gateways that start at once on the same address", () => {
  it.each([1, 2])("one serves and the other says that it is taken, with %i threads", async (threads) => {
    const address = `127.0.0.1:${await freePort()}`;
    const text = `apiVersion: sluice/v1
threads: ${threads}
listeners: [{ address: ${JSON.stringify(address)} }]
routes: [{ name: all, match: { path: /* }, pipeline: [{ plugin: respond, body: hello }] }]
`;
    const file = await write(text);
    const started = await Promise.allSettled([startCli(["-c", file]), startCli(["-c", file])]);
    const serving = started.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    await Promise.all(serving.map((cli) => cli.stop()));
    expect(serving).toHaveLength(1);
    const reasons = started.flatMap((one) => (one.status === "rejected" ? [String(one.reason)] : []));
    expect(reasons.join()).toContain(`The address ${address} is in use by another process`);
  });
});
