import { truncateSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  ConfigLoadError,
  type Diagnostic,
  type LoadedConfig,
  loadConfig,
  loadConfigObject,
} from "../../../core/config/load.ts";
import { ENV, fakeCatalogue } from "./fake-plugins.ts";
import { TempFolder } from "./temp-folder.ts";

let folder: TempFolder;
beforeEach(() => {
  folder = new TempFolder();
});
afterEach(() => folder.remove());

const HEAD = "apiVersion: sluice/v1\nlisteners: [{ address: 127.0.0.1:8080 }]\n";
const ROUTE = "routes:\n  - { name: home, match: { path: / }, pipeline: [{ plugin: respond }] }\n";

function load(text: string, env: Record<string, string> = ENV): Promise<LoadedConfig> {
  return loadConfig(folder.write("gateway.yaml", text), { catalogue: fakeCatalogue, env });
}

async function refuse(promise: Promise<unknown>): Promise<ConfigLoadError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConfigLoadError)) throw error ?? new Error("it was accepted");
  return error;
}

const codes = ({ diagnostics }: ConfigLoadError): string[] => diagnostics.map(({ code }) => code);

describe("loadConfig", () => {
  it("has built what is right with all defaults, also those of one of several forms, beside what is wrong", async () => {
    const upstreams = "upstreams: { found: { targets: { consul: { service: s } } } }\n";
    const file = folder.write("gateway.yaml", `${HEAD}admin: { tokn: x }\n${upstreams}${ROUTE}`);
    let built: unknown;
    const compile = async (config: { upstreams: object }): Promise<void> => void (built = config.upstreams);
    const error = await refuse(loadConfig(file, { catalogue: fakeCatalogue, env: ENV, compile }));
    expect(codes(error)).toEqual(["CONFIG_UNKNOWN_KEY"]);
    expect(built).toMatchObject({ found: { targets: { consul: { service: "s", wait: "5m" } } } });
  });

  it("names the files and folders that the configuration depends on", async () => {
    folder.write("conf.d/a.yaml", 'admin: { token: "${file:../secret}" }\n');
    folder.write("secret", "s\n");
    const { files, folders } = await load(`${HEAD}include: ["conf.d/*.yaml", "more/**/*.yaml"]\n${ROUTE}`);
    const paths = (...names: string[]): string[] => names.map((name) => join(folder.path, name));
    expect(files).toEqual(paths("gateway.yaml", "conf.d/a.yaml", "secret"));
    expect(folders).toEqual(paths("conf.d", "more", "plugins"));
  });

  it("lists every folder that a ** may find files in", async () => {
    folder.write("conf/a/b/c.yaml", "");
    folder.write("conf/node_modules/d.yaml", "not: read");
    const { folders } = await load(`${HEAD}include: ["conf/**/*.yaml"]\n${ROUTE}`);
    expect(folders).toEqual(["conf", "conf/a", "conf/a/b", "plugins"].map((name) => join(folder.path, name)));
  });

  it("names the files that were looked for when it refuses, so that their appearance can be seen", async () => {
    const error = await refuse(load(`${HEAD}include: [missing.yaml]\nadmin: { token: "\${file:secret}" }\n`));
    expect(error.files).toEqual(["gateway.yaml", "secret", "missing.yaml"].map((n) => join(folder.path, n)));
  });

  it("says that the file does not exist", async () => {
    const error = await refuse(loadConfig(join(folder.path, "none.yaml"), { catalogue: fakeCatalogue }));
    expect(error.diagnostics).toEqual([
      {
        code: "CONFIG_NOT_FOUND",
        message: "The file does not exist",
        pointer: "",
        file: join(folder.path, "none.yaml"),
      },
    ]);
  });

  it("refuses a file above 10 MB without reading it", async () => {
    const path = folder.write("gateway.yaml", HEAD);
    truncateSync(path, 11 * 1024 * 1024);
    const error = await refuse(loadConfig(path, { catalogue: fakeCatalogue }));
    expect(error.diagnostics[0]).toMatchObject({
      code: "CONFIG_UNREADABLE",
      message: "The file is larger than 10 MB",
    });
  });

  it("refuses a ${file:} above 1 MB", async () => {
    folder.write("big", "x".repeat(1024 * 1024 + 1));
    const error = await refuse(load(`${HEAD}admin: { token: "\${file:big}" }\n${ROUTE}`));
    expect(error.diagnostics[0]).toMatchObject({
      code: "CONFIG_FILE_MISSING",
      message: "The file is larger than 1 MB: big",
    });
  });

  it("says that it cannot read a folder", async () => {
    const error = await refuse(loadConfig(folder.path, { catalogue: fakeCatalogue }));
    expect(error.diagnostics[0]).toMatchObject({ code: "CONFIG_UNREADABLE" });
  });

  it("gives each route its own copy of a pipeline's options", async () => {
    const { config } = await load(
      `${HEAD}pipelines: { public: { stages: [{ plugin: stamp, keys: [{ id: a }] }] } }\nroutes:\n` +
        "  - { name: a, match: { path: /a }, pipeline: [{ use: public }, { plugin: respond }] }\n" +
        "  - { name: b, match: { path: /b }, pipeline: [{ use: public }, { plugin: respond }] }\n",
    );
    const [a, b] = config.routes.map((route) => route.stages[0]!.options);
    expect(a).toEqual(b);
    expect(a).not.toBe(b);
    expect(a?.["keys"]).not.toBe(b?.["keys"]);
  });

  it("gives plain data that another thread can be sent", async () => {
    const { config } = await load(HEAD + ROUTE);
    expect(structuredClone(config)).toEqual(config);
  });

  it("fills in the empty body of an onError", async () => {
    const { config } = await load(HEAD + ROUTE.replace("respond }", "respond, onError: { status: 503 } }"));
    expect(config.routes[0]!.stages[0]!.onError).toEqual({ status: 503, body: "" });
  });

  it("has the message of every problem in its own", async () => {
    const error = await refuse(load(`${HEAD}rotues: []\n${ROUTE.replace("path", "paht")}`));
    expect(error.message.split("\n")).toEqual([
      expect.stringMatching(
        /gateway\.yaml:3:1 CONFIG_UNKNOWN_KEY Unknown key "rotues"; did you mean "routes"\?$/,
      ),
      expect.stringMatching(
        /gateway\.yaml:5:28 CONFIG_UNKNOWN_KEY Unknown key "paht"; did you mean "path"\?$/,
      ),
    ]);
  });

  it("says nothing of references into a file that could not be read", async () => {
    folder.write("broken.yaml", "upstreams: [");
    const error = await refuse(
      load(`${HEAD}include: [broken.yaml]\nroutes:\n  - { name: a, match: {}, upstream: users }\n`),
    );
    expect(codes(error)).toEqual(["CONFIG_SYNTAX"]);
  });

  it("survives pipelines that use each other very deeply", async () => {
    const chain = Array.from({ length: 5000 }, (_, i) => `  p${i}: { stages: [{ use: p${i + 1} }] }`);
    const error = await refuse(
      load(`${HEAD}pipelines:\n${chain.join("\n")}\n  p5000: { stages: [{ plugin: stamp }] }\n${ROUTE}`),
    );
    expect(new Set(codes(error))).toEqual(new Set(["CONFIG_VALUE"]));
  });

  it("loads thousands of routes in a moment", async () => {
    const routes = Array.from(
      { length: 3000 },
      (_, i) =>
        `  - { name: r${i}, match: { path: /r${i}/* }, pipeline: [{ plugin: stamp }], upstream: users }`,
    );
    const text = `${HEAD}upstreams: { users: { targets: [http://127.0.0.1:1] } }\nroutes:\n${routes.join("\n")}\n`;
    const { config } = await load(text);
    expect(config.routes).toHaveLength(3000);
  });
});

describe("hash", () => {
  const text = `${HEAD}admin: { token: "\${env:TOKEN}" }\n${ROUTE}`;
  const hashOf = async (source: string, token: string): Promise<string> =>
    (await load(source, { TOKEN: token })).config.hash;

  it("stays when only comments and spaces change", async () => {
    const spaced = `# a comment\n${text.replace("{ name: home,", "{   name: home,   ")}\n\n`;
    expect(await hashOf(spaced, "a")).toBe(await hashOf(text, "a"));
  });

  it("changes with a secret", async () => {
    expect(await hashOf(text, "a")).not.toBe(await hashOf(text, "b"));
  });

  it("changes with an option", async () => {
    expect(await hashOf(text.replace("plugin: respond", "plugin: respond, status: 204"), "a")).not.toBe(
      await hashOf(text, "a"),
    );
  });
});

describe("locate", () => {
  const place = ({ file, line, column, endColumn }: Diagnostic): unknown[] => [
    file?.slice(folder.path.length + 1),
    line,
    column,
    endColumn,
  ];

  it("finds problems of building in the file that holds them, each once, in order", async () => {
    folder.write(
      "more.yaml",
      "pipelines:\n  public:\n    stages:\n      - plugin: stamp\n        keys:\n          - id: a\n",
    );
    const { locate } = await load(
      `${HEAD}include: [more.yaml]\nupstreams: { users: { targets: [http://127.0.0.1:1] } }\nroutes:\n` +
        "  - { name: a, match: { path: /a }, pipeline: [{ use: public }], upstream: users }\n",
    );
    const problem = (pointer: string, more: object = {}): Parameters<typeof locate>[0][number] => ({
      code: "CONFIG_OPTION_INVALID",
      message: "No",
      pointer,
      ...more,
    });
    const located = locate([
      problem("/pipelines/public/stages/0/keys/0/id"),
      problem("/routes/0/upstream/strategy"),
      problem("/pipelines/public/stages/0/keys/0/id"),
      problem("/pipelines/public/stages/0/keys", { atKey: true }),
      problem("/routes/0/match/path"),
      problem("/pipelines/public/stages/0/text"),
    ]);
    expect(located.map((d) => [d.pointer, ...place(d)])).toEqual([
      ["/routes/0/match/path", "gateway.yaml", 6, 31, 33],
      ["/routes/0/upstream/strategy", "gateway.yaml", 6, 76, 81],
      ["/pipelines/public/stages/0/text", "more.yaml", 4, 9, 15],
      ["/pipelines/public/stages/0/keys", "more.yaml", 5, 9, 13],
      ["/pipelines/public/stages/0/keys/0/id", "more.yaml", 6, 17, 18],
    ]);
    expect(located[0]!.excerpt!.text).toContain("name: a");
  });
});

describe("loadConfigObject", () => {
  const object = (more: object = {}): object => ({
    apiVersion: "sluice/v1",
    listeners: [{ address: "127.0.0.1:0" }],
    routes: [{ name: "home", match: {}, pipeline: [{ plugin: "respond", body: "${env:PORT}" }] }],
    ...more,
  });
  const options = { catalogue: fakeCatalogue, env: ENV };

  it("checks plain data the same way", async () => {
    const { config } = await loadConfigObject(object(), { ...options, baseDir: "/base" });
    expect(config.baseDir).toBe("/base");
    expect(config.routes[0]!.stages[0]!.options).toMatchObject({ status: 200, body: "8080" });
  });

  it("does not change what it is given", async () => {
    const value = object();
    const before = structuredClone(value);
    await loadConfigObject(value, options);
    expect(value).toEqual(before);
  });

  it("names problems by pointer", async () => {
    const { diagnostics } = await refuse(
      loadConfigObject(
        object({ log: { level: "loud" }, "a/b": 1, admin: { token: "${env:NOT_SET}" } }),
        options,
      ),
    );
    expect(diagnostics.map(({ code, pointer, file, line }) => [code, pointer, file, line]).sort()).toEqual([
      ["CONFIG_ENV_MISSING", "/admin/token", undefined, undefined],
      ["CONFIG_UNKNOWN_KEY", "/a~1b", undefined, undefined],
      ["CONFIG_VALUE", "/log/level", undefined, undefined],
    ]);
  });

  it("includes files from its folder", async () => {
    folder.write("more.yaml", "log: { level: debug }\n");
    const { config, files } = await loadConfigObject(object({ include: ["more.yaml"] }), {
      ...options,
      baseDir: folder.path,
    });
    expect(config.log.level).toBe("debug");
    expect(files).toEqual([join(folder.path, "more.yaml")]);
  });

  it.each([
    ["nothing", undefined],
    ["a text", "gateway.yaml"],
    ["a function inside", object({ log: () => {} })],
    ["a date inside", object({ log: new Date() })],
    ["a bigint inside", object({ drainTimeout: 1n })],
  ])("refuses %s", async (_what, value) => {
    expect(codes(await refuse(loadConfigObject(value, options)))).toContain("CONFIG_TYPE");
  });

  it("refuses data that contains itself", async () => {
    const value = object() as { log?: unknown };
    value.log = value;
    expect(codes(await refuse(loadConfigObject(value, options)))).toContain("CONFIG_TYPE");
  });

  it("refuses __proto__ and pollutes nothing", async () => {
    const value = { ...object(), upstreams: JSON.parse('{"__proto__": {"polluted": true}}') as object };
    expect(codes(await refuse(loadConfigObject(value, options)))).toContain("CONFIG_UNKNOWN_KEY");
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it("skips keys that are undefined", async () => {
    await loadConfigObject(object({ admin: undefined }), options);
  });
});
