/** Hot swap through the real command line: what section "Reload" promises, while requests run. */
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startCli } from "../support/cli.ts";
import { proxyTo, startGateway } from "../support/gateway.ts";
import { freePort } from "../support/ports.ts";
import { startLoad } from "../support/load.ts";
import { startUpstream } from "../support/upstream.ts";

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-reload-"));
  file = join(folder, "gateway.yaml");
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const yaml = (upstream: string, revision: string): string => `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
upstreams:
  main: { targets: ["${upstream}"] }
routes:
  - name: all
    match: { path: /* }
    pipeline:
      - plugin: transform
        response: { headers: { set: { x-revision: "${revision}" } } }
    upstream: main
`;

/** Saves as editors do: a new file takes the old one's name. */
async function save(text: string): Promise<void> {
  await writeFile(`${file}.tmp`, text);
  await rename(`${file}.tmp`, file);
}

const revisionOf = async (url: string): Promise<string | null> =>
  (await fetch(url)).headers.get("x-revision");

const isOk = (status: number): string | undefined => (status === 200 ? undefined : `status ${status}`);

describe("hot swap", () => {
  it("swaps on a save, refuses a broken edit, mends, and loses no request meanwhile", async () => {
    await using upstream = await startUpstream();
    await save(yaml(upstream.url, "one"));
    await using cli = await startCli(["-c", file]);
    expect(await revisionOf(cli.url)).toBe("one");
    const load = startLoad(cli.url, 8, isOk);

    await save(yaml(upstream.url, "two"));
    await cli.logged((line) => line["msg"] === "configuration activated" && line["generation"] === 2);
    expect(await revisionOf(cli.url)).toBe("two");
    await load.answeredMore(50);

    await save(yaml(upstream.url, "three").replace("upstream: main", "upstreem: main"));
    await cli.logged((line) => line["msg"] === "the previous configuration keeps serving");
    expect(await revisionOf(cli.url)).toBe("two");
    const refused = cli.lines.find((line) => line["code"] === "CONFIG_UNKNOWN_KEY");
    expect(refused).toMatchObject({ level: "error", file, line: 12, column: 5 });
    const shown = (await (await fetch(`${cli.adminUrl}/admin/config`)).json()) as Record<string, unknown>;
    expect(shown).toMatchObject({
      generation: 2,
      error: { problems: expect.arrayContaining([expect.objectContaining({ code: "CONFIG_UNKNOWN_KEY" })]) },
    });
    await load.answeredMore(50);

    await save(yaml(upstream.url, "four"));
    await cli.logged((line) => line["msg"] === "configuration activated" && line["generation"] === 3);
    expect(await revisionOf(cli.url)).toBe("four");
    expect(await (await fetch(`${cli.adminUrl}/admin/config`)).json()).not.toHaveProperty("error");
    const metrics = await (await fetch(`${cli.adminUrl}/metrics`)).text();
    expect(metrics).toContain('sluice_config_reloads_total{result="success"} 3');
    expect(metrics).toContain('sluice_config_reloads_total{result="failure"} 1');
    expect(metrics).toContain("sluice_config_generation 3");
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(await cli.stop()).toBe(0);
  });

  it("clears the error when a broken edit is taken back", async () => {
    await using upstream = await startUpstream();
    await save(yaml(upstream.url, "one"));
    await using cli = await startCli(["-c", file]);
    await save("routes: [");
    await cli.logged((line) => line["msg"] === "the previous configuration keeps serving");
    await save(yaml(upstream.url, "one"));
    await cli.logged((line) => line["msg"] === "configuration is as it was before the error");
    expect(await (await fetch(`${cli.adminUrl}/admin/config`)).json()).toMatchObject({ generation: 1 });
  });

  it("does not watch with --no-watch, and reloads when asked", async () => {
    await using upstream = await startUpstream();
    await save(yaml(upstream.url, "one"));
    await using cli = await startCli(["-c", file, "--no-watch"]);
    await save(yaml(upstream.url, "two"));
    const reload = await fetch(`${cli.adminUrl}/admin/config/reload`, { method: "POST" });
    expect(await reload.json()).toEqual({ result: "activated", generation: 2 });
    expect(await revisionOf(cli.url)).toBe("two");
    await cli.logged((line) => line["generation"] === 2);
    // Only the reload that was asked for happened: a watcher would have seen the file before.
    expect(cli.lines.filter((line) => line["msg"] === "configuration activated")).toHaveLength(2);
  });

  it("finishes a request on the generation it began on", async () => {
    let answer: (() => void) | undefined;
    const arrived = Promise.withResolvers<void>();
    await using upstream = await startUpstream((_request, response) => {
      answer = () => response.end("done");
      arrived.resolve();
    });
    const route = (revision: string): object => ({
      pipeline: [{ plugin: "transform", response: { headers: { set: { "x-revision": revision } } } }],
    });
    await using gateway = await startGateway(proxyTo(upstream.url, route("old")));
    const slow = fetch(gateway.url);
    await arrived.promise;
    expect((await gateway.reload(proxyTo(upstream.url, route("new")))).result).toBe("activated");
    answer!();
    expect((await slow).headers.get("x-revision")).toBe("old");
  });

  it("survives a thousand swaps under load without a lost request or a leak", async () => {
    await using upstream = await startUpstream((_request, response) => response.end("ok"));
    const revision = (n: number): object =>
      proxyTo(upstream.url, {
        pipeline: [{ plugin: "transform", response: { headers: { set: { "x-revision": String(n) } } } }],
      });
    await using gateway = await startGateway(revision(0), { logTo: { write: () => {} } });
    const load = startLoad(gateway.url, 4, isOk);
    const swap = async (from: number, to: number): Promise<number> => {
      for (let n = from; n < to; n++) {
        expect((await gateway.reload(revision(n))).result).toBe("activated");
      }
      await load.answeredMore(20);
      return process.memoryUsage().heapUsed;
    };
    await swap(1, 300);
    const collect = globalThis.gc!; // the runner exposes it
    collect();
    const before = await swap(300, 650);
    collect();
    const after = await swap(650, 1001);
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(gateway.generation).toBe(1001);
    // A leaked generation holds its compiled router and stages: hundreds of them would be tens of megabytes.
    expect(after - before).toBeLessThan(30 * 1024 * 1024);
    expect(await revisionOf(gateway.url)).toBe("1000");
  });

  it("opens and closes listeners with the configuration, keeping those that stay", async () => {
    const port = await freePort();
    await using upstream = await startUpstream((_request, response) => response.end("ok"));
    const at = (...addresses: string[]): object =>
      proxyTo(upstream.url, {}, { listeners: addresses.map((address) => ({ address })) });
    await using gateway = await startGateway(at("127.0.0.1:0"));
    const load = startLoad(gateway.url, 4, isOk);
    await gateway.reload(at("127.0.0.1:0", `127.0.0.1:${port}`));
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
    await load.answeredMore(20);
    await gateway.reload(at("127.0.0.1:0"));
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
    await load.answeredMore(20);
    await load.stop();
    expect(load.failures).toEqual([]);
  });

  it("refuses a configuration whose new listener cannot be opened, and keeps serving", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as AddressInfo;
    await using upstream = await startUpstream();
    await using gateway = await startGateway(proxyTo(upstream.url));
    const listeners = [{ address: "127.0.0.1:0" }, { address: `127.0.0.1:${port}` }];
    const result = await gateway.reload(proxyTo(upstream.url, {}, { listeners }));
    expect(result).toMatchObject({
      result: "refused",
      problems: [{ code: "CONFIG_LISTEN", pointer: "/listeners/1/address" }],
    });
    expect((await fetch(gateway.url)).status).toBe(200);
    await new Promise((resolve) => taken.close(resolve));
  });

  it("applies changed limits of a listener to its open socket", async () => {
    await using upstream = await startUpstream();
    const limited = (bodySize: string): object =>
      proxyTo(upstream.url, {}, { listeners: [{ address: "127.0.0.1:0", limits: { bodySize } }] });
    await using gateway = await startGateway(limited("1KB"));
    const { port } = gateway;
    const send = (): Promise<Response> => fetch(gateway.url, { method: "POST", body: "x".repeat(2000) });
    expect((await send()).status).toBe(413);
    await gateway.reload(limited("4KB"));
    expect((await send()).status).toBe(200);
    expect(gateway.port).toBe(port);
  });
});
