import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { catalogue } from "../../../../plugins/index.ts";
import { check } from "../../../../core/cli/check.ts";
import { compileOnce } from "../../../../core/runtime.ts";
import { ConsulServer } from "../../../support/consul-server.ts";
import { a, DnsServer, srv } from "../../../support/dns-server.ts";
import { proxyTo, startGateway, type TestGateway } from "../../../support/gateway.ts";
import { KubernetesServer } from "../../../support/kubernetes-server.ts";
import { startLoad } from "../../../support/load.ts";
import { TempFolder } from "../../config/temp-folder.ts";

let folder: TempFolder;
beforeEach(() => {
  folder = new TempFolder();
});
afterEach(() => folder.remove());

/** A target that answers with its name, or holds the answers to /slow until it is told. */
class NamedTarget {
  readonly name: string;
  readonly held: ServerResponse[] = [];
  readonly sockets = new Set<Socket>();
  readonly #server: Server;
  #waiting: (() => void)[] = [];

  private constructor(name: string) {
    this.name = name;
    this.#server = createServer((request, response) => {
      if (request.url !== "/slow") return response.end(name);
      this.held.push(response);
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
    this.#server.on("connection", (socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
    });
  }

  static async start(name: string, host = "127.0.0.1", port = 0): Promise<NamedTarget> {
    const target = new NamedTarget(name);
    target.#server.listen(port, host);
    await once(target.#server, "listening");
    onTestFinished(() => {
      target.#server.closeAllConnections();
      target.#server.close();
    });
    return target;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async holds(): Promise<void> {
    while (this.held.length === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

const targetsFrom = (targets: object, upstream: object = {}, parts: Record<string, unknown> = {}): object =>
  proxyTo("", {}, { admin: { address: "127.0.0.1:0" }, ...parts }, { targets, ...upstream });

const textOf = async (url: string): Promise<string> => (await fetch(url)).text();

const answeredBy = async (gateway: TestGateway, name: string): Promise<void> => {
  while ((await textOf(gateway.url)) !== name) await new Promise((resolve) => setImmediate(resolve));
};

/**
 * Requests go on from `one` to `two` while `move` makes it the only target: none fails, one that is under way ends
 * on `one`, and then no connection to it is left.
 */
async function moves(
  targets: object,
  [one, two]: readonly [NamedTarget, NamedTarget],
  move: () => void,
  baseDir = folder.path,
): Promise<TestGateway> {
  const gateway = await startGateway(targetsFrom(targets), { baseDir });
  onTestFinished(() => gateway.stop());
  const load = startLoad(gateway.url, 4, (status, body) =>
    status === 200 ? undefined : `${status} ${body}`,
  );
  await load.answeredMore(20);
  expect(await textOf(gateway.url)).toBe("one");
  const slow = textOf(`${gateway.url}/slow`);
  await one.holds();

  move();
  await answeredBy(gateway, "two");
  await load.answeredMore(20);
  for (let i = 0; i < 20; i++) expect(await textOf(gateway.url)).toBe("two");
  one.held[0]!.end("late");
  expect(await slow).toBe("late");
  while (one.sockets.size > 0) await new Promise((resolve) => setImmediate(resolve));
  await load.stop();
  expect(load.failures).toEqual([]);
  expect(gateway.generation).toBe(1);
  expect(two.sockets.size).toBeGreaterThan(0);
  return gateway;
}

describe("requests move with the targets, without a reload and without a loss,", () => {
  it("when a file changes", async () => {
    const [one, two] = [await NamedTarget.start("one"), await NamedTarget.start("two")];
    folder.write("t.json", JSON.stringify([one.url]));
    await moves({ file: "t.json" }, [one, two], () => folder.write("t.json", JSON.stringify([two.url])));
  });

  it("when a name has another address", async () => {
    const one = await NamedTarget.start("one");
    const two = await NamedTarget.start("two", "127.0.0.2", one.port);
    await using dns = await DnsServer.start();
    dns.set("A", "users.test", [a("127.0.0.1", 0)]);
    const source = { host: "users.test", port: one.port, servers: [dns.address], minTtl: "10ms" };
    await moves({ dns: source }, [one, two], () => dns.set("A", "users.test", [a("127.0.0.2", 0)]));
  });

  it("when an SRV record names another port", async () => {
    const [one, two] = [await NamedTarget.start("one"), await NamedTarget.start("two")];
    await using dns = await DnsServer.start();
    dns.set("A", "host.test", [a("127.0.0.1", 0)]);
    dns.set("SRV", "_http._tcp.test", [srv("host.test", one.port)]);
    const source = { name: "_http._tcp.test", servers: [dns.address], minTtl: "10ms" };
    await moves({ srv: source }, [one, two], () =>
      dns.set("SRV", "_http._tcp.test", [srv("host.test", two.port)]),
    );
  });

  it("when Consul has another instance, and it is shown where operators look", async () => {
    const [one, two] = [await NamedTarget.start("one"), await NamedTarget.start("two")];
    await using consul = await ConsulServer.start();
    const instance = ({ name, port }: NamedTarget) => [{ id: name, address: "127.0.0.1", port }];
    consul.set("users", instance(one));
    const targets = { consul: { url: consul.url, service: "users" } };
    const gateway = await moves(targets, [one, two], () => consul.set("users", instance(two)));

    const reloaded = await gateway.reload(targetsFrom(targets, {}, { drainTimeout: "4s" }));
    expect(reloaded.result).toBe("activated");
    expect(consul.queries.filter((query) => !query.has("index"))).toHaveLength(1); // the same discovery goes on
    consul.refuse(500, "No cluster leader");
    await gateway.logged(({ msg }) => msg === "targets cannot be found; those that are known stay");
    expect(await textOf(gateway.url)).toBe("two");
    const metrics = await textOf(`${gateway.adminUrl}/metrics`);
    expect(metrics).toContain('sluice_discovery_stale{upstream="main"} 1');
    expect(metrics).toMatch(
      /sluice_discovery_updates_total\{upstream="main",source="consul",result="changed"\} 2/,
    );
    expect(await textOf(`${gateway.adminUrl}/admin/upstreams/main`)).toContain("No cluster leader");
  });

  it("when Kubernetes has another pod", async () => {
    const [one, two] = [await NamedTarget.start("one"), await NamedTarget.start("two")];
    await using kubernetes = await KubernetesServer.start();
    const slice = ({ port }: NamedTarget) => ({ addresses: ["127.0.0.1"], ports: [{ name: "http", port }] });
    kubernetes.apply(slice(one));
    const source = { url: kubernetes.url, service: "users", namespace: "shop" };
    await moves({ kubernetes: source }, [one, two], () => kubernetes.apply(slice(two)));
  });
});

/** A source that knows nothing, and what it says. */
const HOPELESS: [name: string, targets: object, reason: string][] = [
  ["file", { file: "none.json" }, "none.json: The file does not exist"],
  ["dns", { dns: { host: "users.invalid" } }, "users.invalid: "],
  ["srv", { srv: { name: "_http._tcp.invalid" } }, "_http._tcp.invalid: "],
  ["consul", { consul: { url: "http://127.0.0.1:1", service: "users" } }, "Consul at http://127.0.0.1:1: "],
  [
    "kubernetes",
    { kubernetes: { url: "http://127.0.0.1:1", service: "users", namespace: "shop" } },
    "Kubernetes at http://127.0.0.1:1: connect ECONNREFUSED",
  ],
];

describe.each(HOPELESS)("when %s finds nothing at load", (_name, targets, reason) => {
  it("`onUnresolved: fail` refuses the configuration", async () => {
    const starting = startGateway(targetsFrom(targets, { onUnresolved: "fail" }), { baseDir: folder.path });
    await expect(starting).rejects.toThrow(
      expect.objectContaining({
        diagnostics: [
          expect.objectContaining({
            code: "CONFIG_UNRESOLVED",
            pointer: "/upstreams/main/targets",
            message: expect.stringContaining(`No targets were found: ${reason}`),
          }),
        ],
      }),
    );
  });

  it("`onUnresolved: warn` starts, answers 503 and goes on trying", async () => {
    await using gateway = await startGateway(targetsFrom(targets), { baseDir: folder.path });
    const line = await gateway.logged(({ level }) => level === "warn");
    expect(line).toMatchObject({ upstream: "main", targets: 0, reason: expect.stringContaining(reason) });
    expect((await fetch(gateway.url)).status).toBe(503);
  });
});

describe("a name of a listed target that does not resolve", () => {
  const listed = ["http://127.0.0.1:1", "http://users.invalid:8081"];

  it("refuses the configuration with `onUnresolved: fail`", async () => {
    await expect(startGateway(targetsFrom(listed, { onUnresolved: "fail" }))).rejects.toThrow(
      expect.objectContaining({
        diagnostics: [
          expect.objectContaining({ code: "CONFIG_UNRESOLVED", pointer: "/upstreams/main/targets/1" }),
        ],
      }),
    );
  });

  it("is told with `onUnresolved: warn`", async () => {
    await using gateway = await startGateway(targetsFrom(listed));
    const line = await gateway.logged(({ code }) => code === "CONFIG_UNRESOLVED");
    expect(line).toMatchObject({ level: "warn", pointer: "/upstreams/main/targets/1" });
    expect(line["msg"]).toMatch(
      /^configuration warning: The name of this target does not resolve: users\.invalid: /,
    );
  });
});

describe("a check", () => {
  const yaml = (targets: string, onUnresolved: string): string => `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
upstreams:
  main:
    onUnresolved: ${onUnresolved}
    targets:
      ${targets}
routes: [{ name: all, match: { path: /* }, upstream: main }]
`;

  async function checkFile(text: string): Promise<{ status: number; text: string }> {
    folder.write("gateway.yaml", text);
    let written = "";
    const write = (part: string): void => void (written += part);
    const io = { cwd: folder.path, env: {}, isTty: false, write, writeError: write };
    const compile = compileOnce(catalogue);
    const status = await check({ format: "text" }, io, { catalogue, compile });
    return { status, text: written };
  }

  it("says where nothing is found, and leaves nothing open", async () => {
    const { status, text } = await checkFile(yaml("file: none.json", "fail"));
    expect(status).toBe(1);
    expect(text).toContain("gateway.yaml:6:5 error CONFIG_UNRESOLVED  No targets were found: none.json");
    while (process.getActiveResourcesInfo().includes("FSEventWrap"))
      await new Promise((resolve) => setImmediate(resolve));
  });

  it("says which name does not resolve", async () => {
    const { status, text } = await checkFile(yaml("- http://users.invalid", "fail"));
    expect(status).toBe(1);
    expect(text).toContain("gateway.yaml:7:9 error CONFIG_UNRESOLVED");
  });

  it.each([
    ["file: none.json", "gateway.yaml:6:5 warning CONFIG_UNRESOLVED  No targets were found: none.json"],
    ["- http://users.invalid", "gateway.yaml:7:9 warning CONFIG_UNRESOLVED  The name of this target"],
  ])("warns with `onUnresolved: warn` of %s", async (targets, warning) => {
    const { status, text } = await checkFile(yaml(targets, "warn"));
    expect([status, text]).toEqual([0, expect.stringContaining(warning)]);
    expect(text).toContain("gateway.yaml is valid");
  });

  it.each([
    ["dns: { host: a, servers: [ns] }", "gateway.yaml:7:33 error CONFIG_OPTION_INVALID  A name server is"],
    ["consul: { service: a, wait: 1h }", "gateway.yaml:7:35 error CONFIG_OPTION_INVALID  Consul waits"],
    ["kubernetes: { service: A }", "gateway.yaml:7:30 error CONFIG_OPTION_INVALID  Names in Kubernetes"],
    [
      "consul: { service: a, ca: x }",
      "gateway.yaml:7:33 error CONFIG_CERTIFICATE  This is not a PEM certificate",
    ],
  ])("says where %s is wrong", async (targets, message) => {
    const { status, text } = await checkFile(yaml(targets, "warn"));
    expect([status, text]).toEqual([1, expect.stringContaining(message)]);
  });
});
