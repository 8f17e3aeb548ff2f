import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  ConfigLoadError,
  type LoadedConfig,
  loadConfig,
  loadConfigObject,
} from "../../../core/config/load.ts";
import { ENV, fakeCatalogue } from "./fake-plugins.ts";
import { TempFolder } from "./temp-folder.ts";

const FIXTURE = resolve(import.meta.dirname, "../../fixtures/config/accepted/scripts/gateway.yaml");
const options = { catalogue: fakeCatalogue, env: ENV };

let folder: TempFolder;
beforeEach(() => {
  folder = new TempFolder();
});
afterEach(() => folder.remove());

const HOOK = "export default { request() {} };";
const gateway = (stages: string, more = ""): string =>
  `apiVersion: sluice/v1\nlisteners: [{ address: 127.0.0.1:1 }]\n${more}routes:
  - { name: all, match: { path: /* }, pipeline: [${stages}{ plugin: respond }] }\n`;

const load = (text: string): Promise<LoadedConfig> => loadConfig(folder.write("gateway.yaml", text), options);

async function refuse(text: string): Promise<ConfigLoadError> {
  const error = await load(text).catch((reason: unknown) => reason);
  if (!(error instanceof ConfigLoadError)) throw error;
  return error;
}

describe("stages that are scripts", () => {
  it("have their options, limits and grants, defaults filled in", async () => {
    const { config } = await loadConfig(FIXTURE, options);
    const [hello, greet, inline, count] = config.routes[0]!.stages;
    const versionOf = (name: string): string =>
      Object.values(config.scripts).find((script) => script.name === name)!.version;
    const limits = { cpuMs: 10, memoryBytes: 32 * 1024 * 1024, wallMs: 5000 };
    const none = { fetch: undefined, kv: undefined, secrets: {} };
    expect(hello).toMatchObject({
      plugin: "greet",
      name: "hello",
      options: { greeting: ENV["SECRET"], count: 1 },
      script: { version: versionOf("greet"), limits, grants: { ...none, secrets: { KEY: "topsecret" } } },
      pointer: "/pipelines/public/stages/0",
    });
    expect(greet).toMatchObject({
      options: { greeting: "hello", count: 3 },
      script: {
        version: versionOf("greet"),
        limits: { ...limits, cpuMs: 20 },
        grants: {
          fetch: {
            hosts: ["*.example.com:8443"],
            privateAddresses: ["10.0.0.0/8"],
            timeoutMs: 1000,
            maxResponseBytes: 1024 * 1024,
            maxRequests: 10,
          },
          kv: { store: "main", namespace: "mine" },
          secrets: {},
        },
      },
    });
    expect(inline).toMatchObject({
      plugin: "script",
      name: "script",
      options: {},
      script: {
        version: versionOf("script"),
        grants: {
          fetch: { hosts: ["api.example.com"], privateAddresses: [], timeoutMs: 2000 },
          kv: { store: "main", namespace: "script" },
        },
      },
    });
    expect(count).toMatchObject({
      plugin: "script",
      name: "count.v2",
      options: { to: 3 },
      onError: "skip",
      script: { version: versionOf("count.v2"), limits, grants: none },
    });
    expect(Object.keys(config.scripts)).toHaveLength(3);
    expect(config.scripts[versionOf("greet")]).toMatchObject({ file: "plugins/greet.ts" });
  });

  it("are shown as they are written, secrets masked", async () => {
    const { effective } = await loadConfig(FIXTURE, options);
    const [{ pipeline }] = effective()["routes"] as [{ pipeline: unknown[] }];
    expect(pipeline).toEqual([
      {
        plugin: "greet",
        name: "hello",
        when: { method: "GET" },
        greeting: "${env:SECRET}",
        count: 1,
        grants: { secrets: { KEY: "***" } },
      },
      {
        plugin: "greet",
        greeting: "***",
        count: "${env:COUNT}",
        limits: { cpu: "20ms", memory: "32MB", wall: "5s" },
        grants: {
          fetch: {
            hosts: ["*.example.com:8443"],
            privateAddresses: ["10.0.0.0/8"],
            timeout: "1s",
            maxResponse: "1MB",
            maxRequests: 10,
          },
          kv: { store: "main", namespace: "mine" },
        },
      },
      {
        plugin: "script",
        source: expect.stringContaining("`${req.path}`"),
        options: {},
        grants: { fetch: ["api.example.com"], kv: true },
      },
      { plugin: "script", name: "count.v2", onError: "skip", file: "lib/count.v2.js", options: { to: 3 } },
      { plugin: "respond", status: 200, body: "", headers: {} },
    ]);
  });
});

describe("plugin files", () => {
  it("are watched with all that they import, and so is their folder", async () => {
    folder.write("plugins/a.ts", `import "../lib/b";\n${HOOK}`);
    folder.write("lib/b.ts", "");
    const { files, folders } = await load(gateway(""));
    expect(files).toEqual(
      ["gateway.yaml", "plugins/a.ts", "lib/b.ts"].map((name) => join(folder.path, name)),
    );
    expect(folders).toEqual([join(folder.path, "plugins")]);
  });

  it("that are broken are watched with what they look for", async () => {
    folder.write("plugins/a.ts", 'import "./b";');
    const { files, folders } = await refuse(gateway(""));
    expect(files).toEqual(
      expect.arrayContaining(["a.ts", "b.ts"].map((n) => join(folder.path, "plugins", n))),
    );
    expect(folders).toEqual([join(folder.path, "plugins")]);
  });

  it("can be in another folder, and import packages that are allowed", async () => {
    folder.write("scripts/greet.js", `import "kind";\n${HOOK}`);
    folder.write("node_modules/kind/index.js", "");
    const text = gateway("{ plugin: greet }, ", "pluginsDir: ./scripts\npluginPackages: [kind]\n");
    expect(Object.values((await load(text)).config.scripts)).toMatchObject([{ file: "scripts/greet.js" }]);
  });

  it("are looked for beside a configuration given as an object only when it says so", async () => {
    folder.write("plugins/respond.ts", HOOK);
    const config = {
      apiVersion: "sluice/v1",
      listeners: [{ address: "127.0.0.1:1" }],
      routes: [{ name: "all", match: {}, pipeline: [{ plugin: "respond" }] }],
    };
    const more = { ...options, baseDir: folder.path };
    await loadConfigObject(config, more);
    await expect(loadConfigObject({ ...config, pluginsDir: "plugins" }, more)).rejects.toThrow("built-in");
  });

  it("change the hash when a route uses them, and only then", async () => {
    const hashOf = async (text: string): Promise<string> => (await load(text)).config.hash;
    folder.write("plugins/a.ts", HOOK);
    folder.write("plugins/b.ts", HOOK);
    const text = gateway("{ plugin: a }, ");
    const before = await hashOf(text);
    folder.write("plugins/b.ts", HOOK.replace("{}", "{ return; }"));
    expect(await hashOf(text)).toBe(before);
    folder.write("plugins/a.ts", HOOK.replace("{}", "{ return; }"));
    expect(await hashOf(text)).not.toBe(before);
  });

  it("do not hide what is wrong elsewhere, and stages that use a broken one are not blamed", async () => {
    folder.write("plugins/a.ts", "export default {");
    folder.write("plugins/b.ts", "export default [");
    const { diagnostics } = await refuse(gateway("{ plugin: a, x: 1 }, { plugin: none }, "));
    expect(diagnostics.map(({ file, code }) => [file?.split("/").at(-1), code])).toEqual([
      ["gateway.yaml", "CONFIG_UNKNOWN_PLUGIN"],
      ["a.ts", "CONFIG_SCRIPT"],
      ["b.ts", "CONFIG_SCRIPT"],
    ]);
  });
});
