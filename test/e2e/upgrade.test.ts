/** SIGUSR2: a new process takes over from the old one, and nobody notices. */
import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ask } from "../support/ask.ts";
import { MAIN, type RunningCli, startCli } from "../support/cli.ts";
import { startLoad } from "../support/load.ts";
import { startUpstream } from "../support/upstream.ts";

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-upgrade-"));
  file = join(folder, "gateway.yaml");
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const proxy = (upstream: string, threads: number): string => `apiVersion: sluice/v1
threads: ${threads}
drainTimeout: 5s
log: { access: false }
listeners: [{ address: 127.0.0.1:0 }, { address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
upstreams: { main: { targets: ["${upstream}"] } }
routes: [{ name: all, match: { path: /* }, upstream: main }]
`;

const isServing = (line: Record<string, unknown>): boolean => line["msg"] === "sluice is serving";

/** Upgrades and waits until the new process has taken over. */
async function upgrade(cli: RunningCli): Promise<void> {
  const old = cli.gatewayPid;
  cli.process.kill("SIGUSR2");
  const { new: pid } = await cli.logged((line) => line["old"] === old);
  await cli.logged((line) => isServing(line) && line["pid"] === pid);
}

describe.each([1, 2])("an upgrade of %i data threads under load", (threads) => {
  it("loses no request, several times in a row", async () => {
    await using upstream = await startUpstream((_request, response) => response.end("done"));
    await writeFile(file, proxy(upstream.url, threads));
    await using cli = await startCli(["-c", file]);
    const first = cli.gatewayPid;
    const check = (status: number, body: string): string | undefined =>
      status === 200 && body === "done" ? undefined : `${status} ${body}`;
    const loads = cli.urls.flatMap((url) => [startLoad(url, 8, check), startLoad(url, 4, check, false)]);
    for (let i = 0; i < 3; i++) {
      await Promise.all(loads.map((load) => load.answeredMore(100)));
      await upgrade(cli);
      expect((await fetch(`${cli.adminUrl}/health/ready`)).status).toBe(200);
    }
    await Promise.all(loads.map((load) => load.answeredMore(100)));
    await Promise.all(loads.map((load) => load.stop()));
    expect(loads.flatMap((load) => load.failures)).toEqual([]);
    const servings = cli.lines.filter(isServing);
    expect(servings).toHaveLength(4);
    expect(servings.map((line) => line["listeners"])).toEqual(Array.from({ length: 4 }, () => cli.urls));
    expect(cli.gatewayPid).not.toBe(first);
    expect(await cli.stop()).toBe(0);
  });
});

const RESPOND = `apiVersion: sluice/v1
threads: 1
listeners: [{ address: 127.0.0.1:0 }]
routes: [{ name: all, match: { path: /* }, pipeline: [{ plugin: respond, body: hello }] }]
`;

describe("an upgrade", () => {
  it("runs the configuration on disk, with another number of threads", async () => {
    await writeFile(file, RESPOND);
    await using cli = await startCli(["-c", file, "--no-watch"]);
    for (const threads of [2, 3, 1]) {
      await writeFile(
        file,
        RESPOND.replace("threads: 1", `threads: ${threads}`).replace("hello", `on ${threads}`),
      );
      await upgrade(cli);
      expect(await ask(cli.url)).toMatch(new RegExp(`on ${threads}$`));
    }
    const servings = cli.lines.filter(isServing).map((line) => String(line["listeners"]));
    expect(new Set(servings)).toEqual(new Set([cli.url]));
  });

  it("runs the program that is on disk, where its path is a link", async () => {
    await writeFile(file, RESPOND);
    const [old, young, main] = ["old.mjs", "young.mjs", "sluice.mjs"].map((name) => join(folder, name));
    for (const version of [old!, young!]) {
      const news = JSON.stringify(JSON.stringify({ msg: "version", version }));
      await writeFile(version, `console.log(${news}); await import(${JSON.stringify(MAIN)});`);
    }
    await symlink(old!, main!);
    await using cli = await startCli(["-c", file], {}, { main: main! });
    await cli.logged((line) => line["version"] === old);
    await symlink(young!, `${main}.next`);
    await rename(`${main}.next`, main!);
    await upgrade(cli);
    await cli.logged((line) => line["version"] === young);
  });

  it("that cannot use the configuration on disk leaves the old process serving", async () => {
    await writeFile(file, RESPOND);
    await using cli = await startCli(["-c", file, "--no-watch"]);
    await writeFile(file, "nonsense: true");
    cli.process.kill("SIGUSR2");
    const line = await cli.logged((each) => String(each["msg"]).startsWith("upgrade failed"));
    expect(line).toMatchObject({ level: "error", reason: "exit status 1" });
    expect(cli.complaint).toMatch(/gateway.yaml:1:1 error CONFIG_/);
    expect(await ask(cli.url)).toMatch(/hello$/);
    await writeFile(file, RESPOND.replace("hello", "again"));
    await upgrade(cli);
    expect(await ask(cli.url)).toMatch(/again$/);
  });

  it.each([1, 2])(
    "that fails when sockets are taken over already loses no request (%i threads)",
    async (threads) => {
      await using upstream = await startUpstream((_request, response) => response.end("done"));
      // Its port is in use: by the upstream.
      const inUse = new URL(upstream.url).host;
      await writeFile(file, proxy(upstream.url, threads));
      await using cli = await startCli(["-c", file, "--no-watch"]);
      const check = (status: number): string | undefined => (status === 200 ? undefined : `status ${status}`);
      const load = startLoad(cli.url, 16, check, false);
      await load.answeredMore(100);
      await writeFile(
        file,
        proxy(upstream.url, threads).replace(
          "admin: { address: 127.0.0.1:0 }",
          `admin: { address: "${inUse}" }`,
        ),
      );
      cli.process.kill("SIGUSR2");
      await cli.logged((line) => String(line["msg"]).startsWith("upgrade failed"));
      await load.answeredMore(100);
      await load.stop();
      expect(load.failures).toEqual([]);
      expect(cli.complaint).toContain("CONFIG_LISTEN");
    },
  );

  it("is not begun while another is under way", async () => {
    await writeFile(file, RESPOND);
    await using cli = await startCli(["-c", file]);
    cli.process.kill("SIGUSR2");
    await cli.logged((line) => line["msg"] === "upgrade: a new process starts");
    cli.process.kill("SIGUSR2");
    await cli.logged((line) => line["msg"] === "no upgrade: one is under way");
    await cli.logged((line) => line["old"] !== undefined);
    expect(cli.lines.filter(isServing)).toHaveLength(2);
  });

  it("lets requests under way end on the old process, also when all is stopped then", async () => {
    const arrived = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    await using upstream = await startUpstream(async (_request, response) => {
      arrived.resolve();
      await gate.promise;
      response.end("done");
    });
    await writeFile(file, proxy(upstream.url, 1));
    await using cli = await startCli(["-c", file]);
    const reply = ask(cli.url);
    await arrived.promise;
    await upgrade(cli);
    const ended = cli.stop();
    await cli.logged((line) => line["msg"] === "stopped");
    gate.resolve();
    expect(await reply).toMatch(/\r\nconnection: close\r\n.*done$/is);
    expect(await ended).toBe(0);
    expect(cli.lines.filter((line) => line["msg"] === "stopped")).toHaveLength(2);
  });

  it("takes over when the old process ends meanwhile", async () => {
    await writeFile(file, RESPOND);
    await using cli = await startCli(["-c", file]);
    cli.process.kill("SIGUSR2");
    const starts = await cli.logged((line) => line["msg"] === "upgrade: a new process starts");
    process.kill(cli.gatewayPid, "SIGKILL");
    await cli.logged((line) => isServing(line) && line["pid"] === starts["pid"]);
    expect(await ask(cli.url)).toMatch(/hello$/);
    expect(cli.lines.filter(isServing)).toHaveLength(2);
  });
});
