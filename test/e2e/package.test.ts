/** The package: what is in it, and that it works where it is installed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { followGuide, readGuide } from "../support/guide.ts";
import { type Ended, type InstalledPackage, installPackage, listFiles, ROOT, run } from "../support/pack.ts";

let installed: InstalledPackage;

beforeAll(async () => {
  installed = await installPackage();
});

afterAll(() => installed?.remove());

const CONFIG = `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
routes:
  - { name: all, match: { path: /* }, pipeline: [{ plugin: respond, body: hello }] }
`;

/** Writes a file beside the installed package and gives its path. */
async function write(name: string, text: string): Promise<string> {
  const path = join(installed.folder, name);
  await writeFile(path, text);
  return path;
}

const npxSluice = (...args: string[]): Promise<Ended> =>
  run("npx", ["--no-install", "sluice", ...args], installed.folder);

/** Starts the installed command; resolves with its first URL when it serves. */
async function startInstalled(config: string): Promise<{ url: string; stop(): Promise<number | null> }> {
  const child = spawn(
    process.execPath,
    [join(installed.packageFolder, "bin/sluice.js"), "start", "-c", config],
    {
      cwd: installed.folder,
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const exited = once(child, "exit") as Promise<[number | null]>;
  const stop = async (): Promise<number | null> => {
    child.kill("SIGTERM");
    return (await exited)[0];
  };
  for await (const text of createInterface({ input: child.stdout })) {
    const line = JSON.parse(text) as { msg: string; listeners: string[] };
    if (line.msg === "sluice is serving") return { url: line.listeners[0]!, stop };
  }
  throw new Error("sluice ended before it served");
}

describe("the package", () => {
  it("holds what it needs and nothing else", async () => {
    expect((await readdir(installed.packageFolder)).sort()).toEqual([
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "bin",
      "dist",
      "docs",
      "examples",
      "package.json",
      "schemas",
    ]);
    const sources = [
      ...(await listFiles(join(ROOT, "core"))).map((path) => join("core", path)),
      ...(await listFiles(join(ROOT, "plugins"))).map((path) => join("plugins", path)),
    ].filter((path) => !path.startsWith("core/cli/write-"));
    const expected = sources.flatMap((path) => {
      expect(path).toMatch(/\.ts$/);
      return [path.replace(/ts$/, "js"), path.replace(/ts$/, "d.ts")];
    });
    expect(await listFiles(join(installed.packageFolder, "dist"))).toEqual(expected.sort());
    for (const folder of ["docs", "examples", "schemas"]) {
      const files = await listFiles(join(installed.packageFolder, folder));
      expect(files.filter((path) => !/\.(md|svg|ya?ml|json|ts|pem|htpasswd)$/.test(path))).toEqual([]);
    }
  });

  it("tells its version", async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as { version: string };
    expect(await npxSluice("version")).toMatchObject({ status: 0, stdout: `${version}\n` });
  });

  it("checks: no configuration, a sound one, a broken one", async () => {
    const none = await npxSluice("check");
    expect(none.status).toBe(1);
    expect(none.stdout).toContain("CONFIG_NOT_FOUND");

    await write("gateway.yaml", CONFIG);
    expect(await npxSluice("check")).toMatchObject({
      status: 0,
      stdout: "gateway.yaml is valid: 1 route, 0 upstreams, 1 stage\n",
    });

    await write("broken.yaml", CONFIG.replace("respond", "respnd"));
    const broken = await npxSluice("check", "-c", "broken.yaml");
    expect(broken.status).toBe(1);
    expect(broken.stdout).toMatch(
      /^broken\.yaml:4:\d+ error CONFIG_UNKNOWN_PLUGIN .*did you mean "respond"\?/,
    );
  });

  it("starts, answers, keeps its port to itself, and stops on SIGTERM", async () => {
    const gateway = await startInstalled(await write("start.yaml", CONFIG));
    try {
      expect(await (await fetch(gateway.url)).text()).toBe("hello");
      const { host } = new URL(gateway.url);
      await write("second.yaml", CONFIG.replace("127.0.0.1:0", host));
      const second = await npxSluice("start", "-c", "second.yaml");
      expect(second.status).toBe(1);
      expect(second.stdout).toBe("");
      expect(second.stderr).toContain(`CONFIG_LISTEN  The address ${host} is in use by another process\n`);
    } finally {
      expect(await gateway.stop()).toBe(0);
    }
  });

  it("is imported: the gateway, what a plugin needs, and the schemas", async () => {
    const path = await write(
      "embed.mjs",
      `import { createGateway } from "sluice";
import { Reply } from "sluice/embedding";
import schema from "sluice/schemas/gateway.json" with { type: "json" };
const empty = { name: "empty", schema: { type: "object", additionalProperties: false }, terminal: true,
  build: () => () => () => new Reply(204) };
const gateway = await createGateway(
  { apiVersion: "sluice/v1", listeners: [{ address: "127.0.0.1:0" }],
    routes: [{ name: "all", match: {}, pipeline: [{ plugin: "empty" }] }] },
  { plugins: [empty], logTo: { write() {} } },
);
const { status } = await fetch(gateway.urls[0]);
await gateway.stop();
console.log(status, schema.title);
`,
    );
    expect(await run(process.execPath, [path], installed.folder)).toEqual({
      status: 0,
      stdout: "204 Sluice gateway configuration\n",
      stderr: "",
    });
  });

  it("begins a plugin, and has types and code for it", async () => {
    const begun = await npxSluice("plugin", "new", "greet");
    expect(begun.status).toBe(0);
    expect((await readdir(join(installed.folder, "plugins"))).sort()).toEqual([
      "greet.test.ts",
      "greet.ts",
      "tsconfig.json",
    ]);
    const tsc = join(installed.folder, "node_modules/.bin/tsc");
    expect(await run(tsc, ["-p", "plugins"], installed.folder)).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
    await write("greet.yaml", CONFIG.replace("[{ plugin", "[{ plugin: greet, greeting: hi }, { plugin"));
    expect(await npxSluice("check", "-c", "greet.yaml")).toMatchObject({
      status: 0,
      stdout: "greet.yaml is valid: 1 route, 0 upstreams, 2 stages\n",
    });
    // With the command, and as a test like any other.
    for (const [file, ...args] of [
      ["npx", "--no-install", "sluice", "test"],
      [process.execPath, "--test", "plugins/greet.test.ts"],
    ] as const) {
      const tested = await run(file, args, installed.folder);
      expect([tested.status, tested.stdout]).toEqual([0, expect.stringMatching(/pass 1\n/)]);
    }

    const source = await readFile(join(installed.folder, "plugins/greet.ts"), "utf8");
    await write("plugins/wrong.ts", source.replace("ctx.options.greeting", "process.pid"));
    const wrong = await npxSluice("check", "-c", "greet.yaml");
    expect(wrong.status).toBe(1);
    expect(wrong.stdout).toMatch(/^plugins\/wrong\.ts:18:35 error CONFIG_SCRIPT_TYPES .*'process'/);
    await rm(join(installed.folder, "plugins/wrong.ts"));
    await mkdir(join(installed.folder, "bare"));
    await write("bare/greet.ts", source);
    const bare = ["--ignoreConfig", "--noEmit", "--strict", "--module", "nodenext", "--types", ""];
    expect(await run(tsc, [...bare, "--skipLibCheck", "bare/greet.ts"], installed.folder)).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
    const path = await write(
      "define.mjs",
      `import { definePlugin } from "sluice/plugin";
console.log(definePlugin({ request() {} }));
`,
    );
    expect(await run(process.execPath, [path], installed.folder)).toMatchObject({
      stdout: "{ request: [Function: request] }\n",
    });
  });

  it("leads through docs/scripts.md from nothing to a plugin that is tested, and changed while it runs", {
    timeout: 180_000,
  }, async () => {
    const blocks = await readGuide("docs/scripts.md", "Five minutes");
    expect(blocks.map(({ language }) => language).join(" ")).toBe(
      "sh console ts yaml console ts console sh console console",
    );
    const top = await mkdtemp(join(tmpdir(), "sluice-guide-"));
    onTestFinished(() => rm(top, { recursive: true, force: true }));
    await followGuide(blocks, top, "my-gateway", installed.tarball);
  });

  it("has types that compile, strictly and with those of its dependencies", async () => {
    await mkdir(join(installed.folder, "types"));
    await write(
      "types/main.ts",
      `import { ConfigLoadError, createGateway, type Gateway, type ReloadResult } from "sluice";
import { type FromSchema, type JsonSchema, type Plugin, type Stage, textReply } from "sluice/embedding";
const schema = {
  type: "object",
  properties: { name: { type: "string", default: "you", description: "Whom to greet." } },
  additionalProperties: false,
} as const satisfies JsonSchema;
type Options = FromSchema<typeof schema>;
const greet: Plugin<Options> = {
  name: "greet",
  schema,
  build({ name }, host): Stage {
    host.log.info({ name }, "built");
    // @ts-expect-error: the type comes from the schema
    name satisfies number;
    return (next) => (x) => (x.query.has("skip") ? next(x) : textReply(200, name));
  },
};
const gateway: Gateway = await createGateway("gateway.yaml", { plugins: [greet] });
export const result: ReloadResult = await gateway.reload();
// @ts-expect-error: there is no such option
await createGateway({}, { plugin: [greet] });
export { ConfigLoadError };
`,
    );
    const compilerOptions = {
      strict: true,
      module: "nodenext",
      target: "es2024",
      skipLibCheck: false,
      noEmit: true,
      types: ["node"],
      typeRoots: [join(ROOT, "node_modules/@types")],
    };
    await write("types/tsconfig.json", JSON.stringify({ compilerOptions, files: ["main.ts"] }));
    const tsc = join(ROOT, "node_modules/.bin/tsc");
    expect(await run(tsc, ["-p", "types"], installed.folder)).toEqual({ status: 0, stdout: "", stderr: "" });
  });
});

describe("the command", () => {
  const bin = join(ROOT, "bin/sluice.js");
  const refusal = (version: string): string =>
    `sluice needs Node 26 or newer; this is ${version}. \`npm install node@26\` brings it into a project.\n`;

  it("tells an old Node in one line what it needs", async () => {
    const pretend = 'Object.defineProperty(process, "versions", { value: { node: "20.0.0" } })';
    const args = ["--import", `data:text/javascript,${encodeURIComponent(pretend)}`, bin, "version"];
    const ended = await run(process.execPath, args, ROOT);
    expect(ended).toEqual({ status: 1, stdout: "", stderr: refusal("20.0.0") });
  });

  it("tells the old Node of this machine, if there is one", async ({ skip }) => {
    for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
      const node = join(folder, "node");
      if (!existsSync(node)) continue;
      const version = (await run(node, ["--version"], ROOT)).stdout.trim().slice(1);
      if (Number.parseInt(version, 10) >= 26) continue;
      const ended = await run(node, [bin, "version"], ROOT);
      expect(ended).toEqual({ status: 1, stdout: "", stderr: refusal(version) });
      return;
    }
    skip();
  });
});
