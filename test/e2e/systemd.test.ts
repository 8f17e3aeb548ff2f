/** What systemd is told, by its own program. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startCli } from "../support/cli.ts";
import { startServiceManager } from "../support/service-manager.ts";

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-systemd-"));
  file = join(folder, "gateway.yaml");
  await writeFile(
    file,
    `apiVersion: sluice/v1
threads: 1
listeners: [{ address: 127.0.0.1:0 }]
routes: [{ name: all, match: { path: /* }, pipeline: [{ plugin: respond, body: hello }] }]
`,
  );
});

afterEach(() => rm(folder, { recursive: true, force: true }));

describe.each([[[]], [["--no-supervise"]]])("sluice start %s under systemd", (flags) => {
  it("says when it is ready, reloads and stops", async () => {
    await using manager = await startServiceManager(join(folder, "notify"));
    await using cli = await startCli(["-c", file, ...flags], manager.env);
    await manager.told(/^READY=1/);
    cli.process.kill("SIGHUP");
    await manager.told(/^RELOADING=1\|MONOTONIC_USEC=\d+/);
    await cli.logged((line) => String(line["msg"]).startsWith("reload"));
    const readies = (): string[] => manager.messages.filter((text) => text.startsWith("READY=1"));
    await expect.poll(readies).toHaveLength(2);
    expect(await cli.stop()).toBe(0);
    await manager.told(/^STOPPING=1/);
    expect(manager.messages.map((text) => text.split("=")[0])).toEqual([
      "READY",
      "RELOADING",
      "READY",
      "STOPPING",
    ]);
  });

  it("feeds the watchdog", async () => {
    await using manager = await startServiceManager(join(folder, "notify"));
    await using cli = await startCli(["-c", file, ...flags], { ...manager.env, WATCHDOG_USEC: "200000" });
    const meals = (): string[] => manager.messages.filter((text) => text === "WATCHDOG=1");
    await expect.poll(() => meals().length).toBeGreaterThan(1);
    expect(await cli.stop()).toBe(0);
  });

  it("serves although it cannot tell, and says so once", async () => {
    const env = { NOTIFY_SOCKET: join(folder, "nobody"), PATH: folder };
    await using cli = await startCli(["-c", file, ...flags], env);
    await cli.complained(/systemd-notify/);
    cli.process.kill("SIGHUP");
    await cli.logged((line) => String(line["msg"]).startsWith("reload"));
    expect(await cli.stop()).toBe(0);
    expect(cli.complaint).toMatch(
      /^sluice: systemd is not told how it goes: systemd-notify cannot be run: .*ENOENT\n$/,
    );
  });
});

it("tells systemd that it starts the gateway again, and when it serves again", async () => {
  await using manager = await startServiceManager(join(folder, "notify"));
  await using cli = await startCli(["-c", file], manager.env);
  const first = cli.gatewayPid;
  process.kill(first, "SIGKILL");
  await manager.told(/^STATUS=Starting again after a crash: killed by SIGKILL$/);
  const last = (): string | undefined => manager.messages.at(-1);
  await expect.poll(last).toMatch(/^READY=1\|STATUS=Serving \(process \d+\)$/);
  expect(manager.messages.at(-1)).not.toContain(String(first));
});
