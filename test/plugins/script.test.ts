import { afterEach, describe, expect, it } from "vitest";
import { ConfigLoadError, loadConfigObject } from "../../core/config/load.ts";
import { catalogue } from "../../plugins/index.ts";
import { TempFolder } from "../core/config/temp-folder.ts";
import { config } from "../support/gateway.ts";
import { buildWithUpstreams, surroundings } from "../support/generation.ts";
import { exchange } from "../support/harness.ts";

const folder = new TempFolder();
const builtIn = catalogue.get("script")!;
const RESPOND = { plugin: "respond", body: "end" };

const SAY = `export default {
  schema: { type: "object", properties: { text: { type: "string", default: "hi" } } },
  response(res, ctx) { res.headers.set("x-said", ctx.options.text); },
};`;

afterEach(() => folder.remove());

const load = (stage: object) =>
  loadConfigObject(
    config({ routes: [{ name: "all", match: {}, pipeline: [{ plugin: "script", ...stage }, RESPOND] }] }),
    { catalogue, env: {}, baseDir: folder.path },
  );

async function said(stage: object): Promise<string | null> {
  const { config } = await load(stage);
  const generation = await buildWithUpstreams(1, config, surroundings(catalogue));
  const x = exchange({});
  const reply = await generation.handle(x);
  generation.end();
  await generation.retire(0);
  return reply.headers.get("x-said") ?? null;
}

async function refusals(stage: object): Promise<string[]> {
  const error = await load(stage).then(
    () => new Error("it was accepted"),
    (reason: Error) => reason,
  );
  if (!(error instanceof ConfigLoadError)) throw error;
  return error.diagnostics.map(({ pointer, message }) => `${pointer}: ${message}`);
}

describe("a script of a stage's own", () => {
  it("runs what is written in place, with its options", async () => {
    expect(await said({ source: SAY, options: { text: "in place" } })).toBe("in place");
  });

  it("runs a file, with the defaults of its options", async () => {
    folder.write("scripts/say.ts", SAY);
    expect(await said({ file: "scripts/say.ts" })).toBe("hi");
  });

  it("is named like its file, like its stage, or script", async () => {
    const path = folder.write("scripts/say.v2.ts", SAY);
    const nameOf = async (stage: object) => {
      const { scripts, routes } = (await load(stage)).config;
      const [bundle] = Object.values(scripts);
      return [bundle!.name, routes[0]!.stages[0]!.name];
    };
    expect(await nameOf({ file: path })).toEqual(["say.v2", "say.v2"]);
    expect(await nameOf({ file: path, name: "mine" })).toEqual(["mine", "mine"]);
    expect(await nameOf({ source: SAY })).toEqual(["script", "script"]);
  });

  it("needs a file or a source, not both", async () => {
    const at = "/routes/0/pipeline/0";
    expect(await refusals({})).toEqual([`${at}: One of "file" or "source" must be there`]);
    expect(await refusals({ file: "a.ts", source: SAY })).toEqual([
      `${at}: Only one of "file" or "source" can be there`,
    ]);
  });

  it("has its options checked against the schema of the script", async () => {
    const found = await refusals({ source: SAY, options: { text: 1, none: true } });
    expect(found.sort()).toEqual([
      '/routes/0/pipeline/0/options/none: Unknown key "none"; known here: text',
      "/routes/0/pipeline/0/options/text: Expected text, found the number 1; put it in quotes",
    ]);
  });

  it("says where in the script a problem is, also without a file", async () => {
    const source = "export default {\n  request() { return const; }\n};";
    expect(await refusals({ source })).toEqual([
      '/routes/0/pipeline/0/source: In line 2, column 22 of the script: Unexpected "const"',
    ]);
  });

  it("says that there is no such file, and that a file needs a name", async () => {
    expect(await refusals({ file: "none.ts" })).toEqual(["/routes/0/pipeline/0/file: There is no such file"]);
    expect(await refusals({ file: "of my own.ts" })).toEqual([
      expect.stringMatching(/^\/routes\/0\/pipeline\/0\/file: .*give the stage a `name`$/),
    ]);
  });

  it("cannot be built from options alone", () => {
    expect(() => builtIn.build({} as never, {} as never)).toThrow("configuration that was loaded");
  });
});
