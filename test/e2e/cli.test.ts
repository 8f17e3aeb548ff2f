/** The command line as a user meets it. */
import { connect } from "node:net";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCli, startCli } from "../support/cli.ts";
import { startUpstream } from "../support/upstream.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-cli-"));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

async function write(text: string, name = "gateway.yaml"): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const RESPOND = `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
routes:
  - { name: all, match: { path: /* }, pipeline: [{ plugin: respond, body: hello }] }
`;

describe("sluice", () => {
  it("prints help without a command, and refuses what it does not know with status 2", async () => {
    expect((await runCli([])).stdout).toContain("sluice start");
    const { status, stderr } = await runCli(["strat"]);
    expect(status).toBe(2);
    expect(stderr).toBe("Unknown command 'strat'. `sluice help` lists commands and options.\n");
    expect(await runCli(["check", "--colour"])).toMatchObject({
      status: 2,
      stderr: "Unknown option '--colour'. `sluice help` lists commands and options.\n",
    });
    expect((await runCli(["check", "--format", "xml"])).status).toBe(2);
  });

  it("says where a configuration is wrong, with status 1", async () => {
    await write(RESPOND.replace("respond", "respnd"));
    const { status, stdout } = await runCli(["check"], { cwd: folder });
    expect(status).toBe(1);
    expect(stdout).toContain("gateway.yaml:4:");
    expect(stdout).toContain('did you mean "respond"?');
  });

  it("finds what only building finds, at its place", async () => {
    await write(RESPOND.replace("{ plugin: respond, body: hello }", "{ plugin: respond, body: '{oops' }"));
    const { status, stdout } = await runCli(["check"], { cwd: folder });
    expect(status).toBe(1);
    expect(stdout).toMatch(/gateway\.yaml:4:\d+ error CONFIG_OPTION_INVALID/);
  });

  it("tells what only building finds together with everything else", async () => {
    await write(`${RESPOND}  - { name: b, match: { path: /b }, pipeline: [{ plugin: respond, body: "{nope" }] }
  - { name: c, match: { path: /c }, pipeline: [{ plugin: respond, bodi: hello }] }
  - { name: d, match: { path: /* }, pipeline: [{ plugin: respond }] }
`);
    const { stdout } = await runCli(["check"], { cwd: folder });
    expect(stdout.match(/^gateway\.yaml:\d+:\d+ error \w+/gm)).toEqual([
      "gateway.yaml:5:73 error CONFIG_OPTION_INVALID",
      "gateway.yaml:6:67 error CONFIG_UNKNOWN_KEY",
      "gateway.yaml:7:23 error CONFIG_ROUTE_CONFLICT",
    ]);
  });

  it("builds nothing on an upstream that has problems", async () => {
    await write(
      `${RESPOND}  - { name: b, match: { path: /b }, upstream: u }\nupstreams: { u: { targets: [nonsense] } }\n`,
    );
    const { stdout } = await runCli(["check"], { cwd: folder });
    expect(stdout.match(/error \w+/g)).toEqual(["error CONFIG_TARGET_URL"]);
  });

  it("checks and dumps a sound configuration", async () => {
    await write(RESPOND);
    expect(await runCli(["check"], { cwd: folder })).toMatchObject({ status: 0, stderr: "" });
    const { stdout } = await runCli(["dump", "--effective", "--format", "json"], { cwd: folder });
    expect(JSON.parse(stdout)).toMatchObject({ drainTimeout: "30s" });
  });

  it("ends with its result, whatever is still under way", async () => {
    await write(RESPOND);
    const env = { NODE_OPTIONS: "--import=data:text/javascript,setInterval(()=>{},1e6)" };
    const { status, stdout } = await runCli(["check"], { cwd: folder, env });
    expect([status, stdout]).toEqual([0, expect.stringContaining("is valid")]);
  });

  it("does not start with a broken configuration, and says why on standard error", async () => {
    await write(RESPOND.replace("routes", "rotues"));
    const { status, stdout, stderr } = await runCli(["start"], { cwd: folder });
    expect(status).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toContain('did you mean "routes"?');
  });

  it("says in one line that an address is in use", async () => {
    const path = await write(RESPOND);
    await using first = await startCli(["-c", path]);
    const port = new URL(first.url).port;
    const second = await write(RESPOND.replace("127.0.0.1:0", `127.0.0.1:${port}`), "second.yaml");
    const { status, stderr } = await runCli(["start", "-c", second], { cwd: folder });
    expect(status).toBe(1);
    expect(stderr.split("\n")[0]).toBe(
      `second.yaml:2:24 error CONFIG_LISTEN  The address 127.0.0.1:${port} is in use by another process`,
    );
  });

  it("drains on SIGTERM: not ready, the request under way ends, exit 0", async () => {
    const arrived = Promise.withResolvers<void>();
    let answer: (() => void) | undefined;
    await using upstream = await startUpstream((_request, response) => {
      answer = () => response.end("done");
      arrived.resolve();
    });
    const path = await write(`apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
upstreams: { main: { targets: ["${upstream.url}"] } }
routes: [{ name: all, match: { path: /* }, upstream: main }]
`);
    await using cli = await startCli(["-c", path]);
    expect((await fetch(`${cli.adminUrl}/health/ready`)).status).toBe(200);
    const slow = fetch(cli.url);
    await arrived.promise;
    const ended = cli.stop("SIGTERM");
    await cli.logged((line) => String(line["msg"]).startsWith("stopping"));
    const ready = await fetch(`${cli.adminUrl}/health/ready`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ status: "draining" });
    const { hostname, port } = new URL(cli.url);
    const refused = await new Promise<string | undefined>((resolve) => {
      connect(Number(port), hostname)
        .on("error", (error: NodeJS.ErrnoException) => resolve(error.code))
        .on("connect", () => resolve(undefined));
    });
    expect(refused).toBe("ECONNREFUSED");
    answer!();
    const reply = await slow;
    expect(await reply.text()).toBe("done");
    expect(reply.headers.get("connection")).toBe("close");
    expect(await ended).toBe(0);
    expect(cli.lines.at(-1)).toMatchObject({ msg: "stopped" });
  });

  it("cuts off requests that outlive drainTimeout", async () => {
    const arrived = Promise.withResolvers<void>();
    await using upstream = await startUpstream(() => arrived.resolve());
    const path = await write(`apiVersion: sluice/v1
drainTimeout: 100ms
listeners: [{ address: 127.0.0.1:0 }]
upstreams: { main: { targets: ["${upstream.url}"] } }
routes: [{ name: all, match: { path: /* }, upstream: main }]
`);
    await using cli = await startCli(["-c", path]);
    const slow = fetch(cli.url).catch((error: Error) => error.message);
    await arrived.promise;
    expect(await cli.stop()).toBe(0);
    expect(await slow).toBe("fetch failed");
    expect(cli.lines).toContainEqual(expect.objectContaining({ level: "warn", cut: 1 }));
  });

  it("ends at once on a second signal", async () => {
    const arrived = Promise.withResolvers<void>();
    await using upstream = await startUpstream(() => arrived.resolve());
    const path = await write(`apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
upstreams: { main: { targets: ["${upstream.url}"] } }
routes: [{ name: all, match: { path: /* }, upstream: main }]
`);
    await using cli = await startCli(["-c", path]);
    const slow = fetch(cli.url).catch((error: Error) => error.message);
    await arrived.promise;
    cli.process.kill("SIGTERM");
    await cli.logged((line) => String(line["msg"]).startsWith("stopping"));
    expect(await cli.stop("SIGINT")).toBe(1);
    expect(await slow).toBe("fetch failed");
  });

  it("stops even when nobody reads its log any more", async () => {
    const path = await write(RESPOND);
    await using cli = await startCli(["-c", path]);
    cli.process.stdout!.destroy();
    expect(await (await fetch(cli.url)).text()).toBe("hello");
    expect(await cli.stop()).toBe(0);
  });
});
