/** `sluice start` keeps the gateway running. */
import { once } from "node:events";
import { connect } from "node:net";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type RunningCli, startCli } from "../support/cli.ts";

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

describe("a gateway that ends without being asked", () => {
  it("is started again on the same ports, and says how it ended", async () => {
    await using cli = await startCli(["-c", await write(RESPOND)]);
    const first = cli.gatewayPid;
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

  it("leaves connections that come meanwhile waiting, not refused", async () => {
    await using cli = await startCli(["-c", await write(RESPOND)]);
    const { hostname, port } = new URL(cli.url);
    const restarted = nextServes(cli);
    process.kill(cli.gatewayPid, "SIGKILL");
    const socket = connect(Number(port), hostname);
    await once(socket, "connect");
    socket.end("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    const chunks = await socket.toArray();
    expect(Buffer.concat(chunks as Buffer[]).toString()).toMatch(/^HTTP\/1.1 200 OK\r\n.*hello$/s);
    await restarted;
  });
});
