/** Plugin files come, change and go under a gateway that serves, through the real command line. */
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TempFolder } from "../core/config/temp-folder.ts";
import { type RunningCli, runCli, startCli } from "../support/cli.ts";
import { startLoad } from "../support/load.ts";

let folder: TempFolder;
beforeEach(() => {
  folder = new TempFolder();
});
afterEach(() => folder.remove());

const yaml = (stages: string): string => `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
threads: 2
routes:
  - name: all
    match: { path: /* }
    pipeline:
${stages
  .trim()
  .split("\n")
  .map((line) => `      ${line.trim()}`)
  .join("\n")}
      - { plugin: respond, body: bare }
`;

/** A plugin that answers with a text. */
const says = (text: string): string => `import { definePlugin } from "sluice/plugin";
export default definePlugin({
  request(_req, ctx) { return ctx.reply({ body: ${JSON.stringify(text)} }); },
});
`;

/** Saves as editors do: a new file takes the old one's name. */
function save(name: string, text: string): void {
  const path = join(folder.path, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.saved~`, text);
  renameSync(`${path}.saved~`, path);
}

const ask = async (cli: RunningCli): Promise<string> => (await fetch(cli.url)).text();

const activated = (cli: RunningCli, generation: number): Promise<unknown> =>
  cli.logged((line) => line["msg"] === "configuration activated" && line["generation"] === generation);

/** Waits for the nth refusal and gives what was logged of its problems: code and place. */
async function refused(cli: RunningCli, nth = 1): Promise<string[]> {
  const isEnd = (line: Record<string, unknown>): boolean =>
    line["msg"] === "the previous configuration keeps serving";
  await cli.logged((line) => isEnd(line) && cli.lines.filter(isEnd).length >= nth);
  const ends = cli.lines.flatMap((line, i) => (isEnd(line) ? [i] : []));
  const from = nth === 1 ? 0 : ends[nth - 2]! + 1;
  return cli.lines.slice(from, ends[nth - 1]).flatMap(({ code, file, line, column, msg }) => {
    if (typeof code !== "string") return [];
    const place = line === undefined ? "" : `:${String(line)}:${String(column)}`;
    const name = String(file).replace(`${folder.path}/`, "");
    return `${name}${place} ${code} ${String(msg).replace("configuration refused: ", "")}`;
  });
}

describe("plugin files under a gateway that serves", () => {
  it("are dropped in, used, edited, renamed and deleted, and no request is lost", async () => {
    save("gateway.yaml", yaml(""));
    await using cli = await startCli(["-c", join(folder.path, "gateway.yaml")]);
    const load = startLoad(cli.url, 4, (status) => (status === 200 ? undefined : `status ${status}`));

    save("plugins/greet.ts", says("one"));
    save("gateway.yaml", yaml("- { plugin: greet }"));
    await activated(cli, 2);
    expect(await ask(cli)).toBe("one");

    save("plugins/greet.ts", says("two"));
    await activated(cli, 3);
    expect(await ask(cli)).toBe("two");
    writeFileSync(join(folder.path, "plugins/greet.ts"), says("three"));
    await activated(cli, 4);
    expect(await ask(cli)).toBe("three");

    renameSync(join(folder.path, "plugins/greet.ts"), join(folder.path, "plugins/welcome.ts"));
    expect(await refused(cli)).toEqual([
      'gateway.yaml:9:19 CONFIG_UNKNOWN_PLUGIN There is no plugin "greet"; there is no file plugins/greet.ts',
    ]);
    expect(await ask(cli)).toBe("three");
    save("gateway.yaml", yaml("- { plugin: welcome }"));
    await activated(cli, 5);
    expect(await ask(cli)).toBe("three");

    rmSync(join(folder.path, "plugins/welcome.ts"));
    expect(await refused(cli, 2)).toEqual([expect.stringContaining("CONFIG_UNKNOWN_PLUGIN")]);
    expect(await ask(cli)).toBe("three");
    save("gateway.yaml", yaml(""));
    await activated(cli, 6);
    expect(await ask(cli)).toBe("bare");
    await load.stop();
    expect(load.failures).toEqual([]);
  });

  it("that are broken leave the running version, with places in the author's own source", async () => {
    save("gateway.yaml", yaml("- { plugin: greet }"));
    save("plugins/greet.ts", says("one"));
    await using cli = await startCli(["-c", join(folder.path, "gateway.yaml")]);

    save(
      "plugins/greet.ts",
      "import { definePlugin } from 'sluice/plugin';\nexport default definePlugin({\n  request( {} });\n",
    );
    expect(await refused(cli, 1)).toEqual([expect.stringMatching(/^plugins\/greet\.ts:3:15 CONFIG_SCRIPT /)]);

    save("plugins/greet.ts", `interface A { b: number }\n${says("x")}\nundefinedThing.call();`);
    expect(await refused(cli, 2)).toEqual([
      expect.stringMatching(/^plugins\/greet\.ts:7:1 CONFIG_SCRIPT .*undefinedThing is not defined/),
    ]);

    save("plugins/greet.ts", `import "node:fs";\n${says("x")}`);
    expect(await refused(cli, 3)).toEqual([
      expect.stringMatching(/^plugins\/greet\.ts:1:8 CONFIG_SCRIPT_IMPORT .*node:fs/),
    ]);

    save(
      "plugins/greet.ts",
      says("x").replace("request(", 'schema: { type: "object", required: 1 },\n  request('),
    );
    expect(await refused(cli, 4)).toEqual([
      expect.stringMatching(/^plugins\/greet\.ts:3:3 CONFIG_SCRIPT The schema/),
    ]);

    const needs = 'schema: { type: "object", properties: { a: {} }, required: ["a"] },\n  request(';
    save("plugins/greet.ts", says("x").replace("request(", needs));
    expect(await refused(cli, 5)).toEqual(['gateway.yaml:9:9 CONFIG_MISSING_KEY The key "a" is missing']);

    save("plugins/respond.ts", says("x"));
    expect(await refused(cli, 6)).toEqual([
      expect.stringContaining("CONFIG_MISSING_KEY"),
      expect.stringMatching(/^plugins\/respond\.ts CONFIG_SCRIPT_NAME .*built-in/),
    ]);

    expect(await ask(cli)).toBe("one");
    const shown = (await (await fetch(`${cli.adminUrl}/admin/config`)).json()) as object;
    expect(shown).toMatchObject({ generation: 1, error: { problems: expect.any(Array) } });

    rmSync(join(folder.path, "plugins/respond.ts"));
    save("plugins/greet.ts", says("mended"));
    await activated(cli, 2);
    expect(await ask(cli)).toBe("mended");
  });

  it("are read again when what they import changes, is missing, or comes back", async () => {
    save("gateway.yaml", yaml("- { plugin: greet }"));
    save("lib/texts/text.ts", 'export const text = "one";');
    save(
      "plugins/greet.ts",
      says("").replace('""', "text").replace("\n", '\nimport { text } from "../lib/texts/text.ts";\n'),
    );
    await using cli = await startCli(["-c", join(folder.path, "gateway.yaml")]);
    expect(await ask(cli)).toBe("one");
    save("lib/texts/text.ts", 'export const text = "two";');
    await activated(cli, 2);
    expect(await ask(cli)).toBe("two");
    rmSync(join(folder.path, "lib/texts"), { recursive: true });
    expect(await refused(cli)).toEqual([
      expect.stringMatching(/^plugins\/greet\.ts:2:22 CONFIG_SCRIPT_IMPORT There is no file/),
    ]);
    expect(await ask(cli)).toBe("two");
    save("lib/texts/text.ts", 'export const text = "three";');
    await activated(cli, 3);
    expect(await ask(cli)).toBe("three");
  });

  it("are swapped by the link of a Kubernetes ConfigMap", async () => {
    save("gateway.yaml", yaml("- { plugin: greet }"));
    const revision = (name: string, text: string): void => {
      folder.write(
        `plugins/..${name}/greet.ts`,
        `${says("").replace('""', "text")}import { text } from "./_text";`,
      );
      folder.write(`plugins/..${name}/_text.ts`, `export const text = ${JSON.stringify(text)};`);
      symlinkSync(`..${name}`, join(folder.path, "plugins/..data_tmp"));
      renameSync(join(folder.path, "plugins/..data_tmp"), join(folder.path, "plugins/..data"));
    };
    revision("2026_1", "one");
    for (const name of ["greet.ts", "_text.ts"])
      symlinkSync(`..data/${name}`, join(folder.path, "plugins", name));
    await using cli = await startCli(["-c", join(folder.path, "gateway.yaml")]);
    expect(await ask(cli)).toBe("one");
    revision("2026_2", "two");
    rmSync(join(folder.path, "plugins/..2026_1"), { recursive: true });
    await activated(cli, 2);
    expect(await ask(cli)).toBe("two");
  });

  it("that no route uses, and comments, activate nothing", async () => {
    save("gateway.yaml", yaml("- { plugin: greet }"));
    save("plugins/greet.ts", says("one"));
    await using cli = await startCli(["-c", join(folder.path, "gateway.yaml")]);
    save("plugins/other.ts", says("other"));
    save("plugins/greet.ts", `${says("one")}// the end`);
    const reload = await fetch(`${cli.adminUrl}/admin/config/reload`, { method: "POST" });
    expect(await reload.json()).toEqual({ result: "unchanged", generation: 1 });
  });
});

describe("a plugin file for the commands", () => {
  it("is checked, shown with its options, and its secrets are masked", async () => {
    save(
      "gateway.yaml",
      yaml(
        "- { plugin: greet, text: hello, key: hunter2, grants: { secrets: { KEY: hunter2 } }, limits: { cpu: 20ms } }",
      ),
    );
    save(
      "plugins/greet.ts",
      `import { definePlugin } from "sluice/plugin";
export default definePlugin({
  schema: { type: "object", properties: {
    text: { type: "string" }, count: { type: "integer", default: 3 }, key: { type: "string", writeOnly: true },
  } },
  request() {},
});`,
    );
    const checked = await runCli(["check"], { cwd: folder.path });
    expect(checked).toMatchObject({
      status: 0,
      stdout: "gateway.yaml is valid: 1 route, 0 upstreams, 2 stages\n",
    });
    const shown = await runCli(["dump", "--effective", "--format", "json"], { cwd: folder.path });
    expect(JSON.parse(shown.stdout).routes[0].pipeline[0]).toEqual({
      plugin: "greet",
      text: "hello",
      key: "***",
      count: 3,
      limits: { cpu: "20ms", memory: "32MB", wall: "5s" },
      grants: { secrets: { KEY: "***" } },
    });
    const written = await runCli(["dump"], { cwd: folder.path });
    expect(written.stdout).not.toContain("hunter2");
    save("plugins/greet.ts", "export default { request( };");
    const broken = await runCli(["check"], { cwd: folder.path });
    expect(broken.status).toBe(1);
    expect(broken.stdout).toMatch(
      /^plugins\/greet\.ts:1:27 error CONFIG_SCRIPT {2}.*\n +1 \| export default \{ request\( \};\n +\| +\^/,
    );
  });
});
