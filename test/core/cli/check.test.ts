import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type CheckOptions, type CheckTools, type CommandIo, check } from "../../../core/cli/check.ts";
import { ConfigError } from "../../../core/plugin.ts";
import { ENV, fakeCatalogue } from "../config/fake-plugins.ts";
import { TempFolder } from "../config/temp-folder.ts";

let folder: TempFolder;
beforeEach(() => {
  folder = new TempFolder();
});
afterEach(() => folder.remove());

const GOOD = `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:8080 }]
upstreams: { users: { targets: [http://127.0.0.1:8081] } }
routes:
  - name: home
    match: { path: / }
    pipeline: [{ plugin: stamp }]
    upstream: users
`;

interface Outcome {
  status: number;
  text: string;
}

async function run(
  options: Partial<CheckOptions>,
  io: Partial<CommandIo> = {},
  tools: Partial<CheckTools> = {},
): Promise<Outcome> {
  let text = "";
  const status = await check(
    { format: "text", ...options },
    {
      cwd: folder.path,
      env: ENV,
      isTty: false,
      write: (part) => void (text += part),
      writeError: () => {},
      ...io,
    },
    { catalogue: fakeCatalogue, compile: async () => [], ...tools },
  );
  return { status, text };
}

describe("sluice check", () => {
  it("counts what a valid configuration has", async () => {
    folder.write("gateway.yaml", GOOD);
    expect(await run({})).toEqual({
      status: 0,
      text: "gateway.yaml is valid: 1 route, 1 upstream, 2 stages\n",
    });
  });

  it("shows place, code, suggestion, source line and carets, and how many problems there are", async () => {
    folder.write("gateway.yaml", GOOD.replace("match: { path", "match: { paht"));
    expect(await run({})).toEqual({
      status: 1,
      text: `gateway.yaml:6:14 error CONFIG_UNKNOWN_KEY  Unknown key "paht"; did you mean "path"?
    6 |     match: { paht: / }
      |              ^^^^

1 problem
`,
    });
  });

  it("finds gateway.yaml before gateway.yml before gateway.json", async () => {
    folder.write("gateway.json", JSON.stringify({ apiVersion: "json" }));
    expect((await run({})).text).toContain("gateway.json:1:");
    folder.write("gateway.yml", "apiVersion: yml");
    expect((await run({})).text).toContain("gateway.yml:1:");
    folder.write("gateway.yaml", GOOD);
    expect((await run({})).text).toContain("gateway.yaml is valid");
  });

  it("says what to do in a folder without a configuration", async () => {
    expect(await run({})).toEqual({
      status: 1,
      text: "error CONFIG_NOT_FOUND  There is no gateway.yaml, gateway.yml or gateway.json in this folder; make one, or name a file with -c FILE\n\n1 problem\n",
    });
  });

  it("reads the file that is named, from the current folder", async () => {
    folder.write("other/my.yaml", GOOD);
    expect((await run({ file: "other/my.yaml" })).text).toContain("other/my.yaml is valid");
    expect((await run({ file: "none.yaml" })).text).toBe(
      "none.yaml error CONFIG_NOT_FOUND  The file does not exist\n\n1 problem\n",
    );
  });

  it("locates problems that building raises", async () => {
    folder.write("gateway.yaml", GOOD);
    const compile = async (): Promise<never> => {
      throw new ConfigError([
        { code: "CONFIG_OPTION_INVALID", message: "No such text", pointer: "/routes/0/pipeline/0/text" },
        { code: "CONFIG_ROUTE_CONFLICT", message: "Same as another", pointer: "/routes/0/match" },
      ]);
    };
    const { status, text } = await run({}, {}, { compile });
    expect(status).toBe(1);
    expect(text).toContain("gateway.yaml:6:12 error CONFIG_ROUTE_CONFLICT  Same as another\n");
    expect(text).toContain("gateway.yaml:7:18 error CONFIG_OPTION_INVALID  No such text\n");
    expect(text).toContain("\n2 problems\n");
  });

  it("tells what is doubtful, of a configuration that can be used", async () => {
    folder.write("gateway.yaml", GOOD);
    const doubt = { code: "CONFIG_UNRESOLVED", message: "Nobody knows it", pointer: "/routes/0/match" };
    const { status, text } = await run({}, {}, { compile: async () => [doubt] });
    expect(status).toBe(0);
    expect(text).toMatch(/^gateway\.yaml:6:12 warning CONFIG_UNRESOLVED {2}Nobody knows it\n/);
    expect(text).toMatch(/\n\ngateway\.yaml is valid: /);
    const json = await run({ format: "json" }, {}, { compile: async () => [doubt] });
    expect(JSON.parse(json.text)).toMatchObject({
      ok: true,
      problems: [],
      warnings: [{ code: "CONFIG_UNRESOLVED", line: 6 }],
    });
  });

  it("tells problems of types with all others, but not of files that have worse ones", async () => {
    const path = folder.write("gateway.yaml", GOOD);
    const typed = (file: string) => ({
      code: "CONFIG_SCRIPT_TYPES",
      message: `In ${file}`,
      pointer: "",
      file,
    });
    const seen: (readonly string[])[] = [];
    const checkTypes = async (files: readonly string[]) => {
      seen.push(files);
      return [typed(path), typed(`${folder.path}/a.ts`)];
    };
    const sound = await run({}, {}, { checkTypes });
    expect(sound).toMatchObject({ status: 1, text: expect.stringMatching(/\n\n2 problems in 2 files\n$/) });
    folder.write("gateway.yaml", GOOD.replace("stamp", "stmp"));
    const broken = await run({}, {}, { checkTypes });
    expect(broken.status).toBe(1);
    expect(broken.text).toMatch(
      /CONFIG_UNKNOWN_PLUGIN[\s\S]*a\.ts error CONFIG_SCRIPT_TYPES {2}In .*a\.ts\n/,
    );
    expect(broken.text).toContain("\n\n2 problems in 2 files\n");
    expect(seen).toEqual([[path], []]);
  });

  it("does not hide a bug as a problem of the configuration", async () => {
    folder.write("gateway.yaml", GOOD);
    const compile = async (): Promise<never> => {
      throw new TypeError("a bug");
    };
    await expect(run({}, {}, { compile })).rejects.toThrow("a bug");
  });

  it("prints JSON for machines", async () => {
    const path = folder.write("gateway.yaml", GOOD.replace("match: { path", "match: { paht"));
    const { status, text } = await run({ format: "json" });
    expect(status).toBe(1);
    expect(JSON.parse(text)).toEqual({
      ok: false,
      problems: [
        {
          code: "CONFIG_UNKNOWN_KEY",
          message: 'Unknown key "paht"',
          file: path,
          line: 6,
          column: 14,
          endColumn: 18,
          pointer: "/routes/0/match/paht",
          suggestion: "path",
        },
      ],
      warnings: [],
    });
    folder.write("gateway.yaml", GOOD);
    expect(JSON.parse((await run({ format: "json" })).text)).toEqual({
      ok: true,
      problems: [],
      warnings: [],
    });
  });

  it("uses colour on a terminal, unless NO_COLOR is set", async () => {
    folder.write("gateway.yaml", "apiVersion: 1");
    expect((await run({}, { isTty: true })).text).toContain("\u001b[31merror\u001b[0m");
    expect((await run({}, { isTty: true, env: { NO_COLOR: "1" } })).text).not.toContain("\u001b");
    expect((await run({}, { isTty: false })).text).not.toContain("\u001b");
  });

  it("says in how many files the problems are", async () => {
    folder.write("gateway.yaml", `${GOOD}include: [more.yaml]\nrotues: []\n`);
    folder.write("more.yaml", "lgo: {}\n");
    expect((await run({})).text).toContain("\n2 problems in 2 files\n");
  });

  it("keeps tabs, so that the carets stand below what they mean", async () => {
    folder.write("gateway.json", '{\n\t"apiVersion":\t"v1"\n}\n');
    expect((await run({})).text).toContain('    2 | \t"apiVersion":\t"v1"\n      | \t             \t^^^^\n');
  });
});
