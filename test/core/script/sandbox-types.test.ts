/** What authors are told of the sandbox is what there is in it. */
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { renderPluginTypes } from "../../../core/cli/write-plugin-types.ts";
import { ScriptIsolate } from "../../../core/script/isolate.ts";

const types = renderPluginTypes();

/** Names of the members in the block that begins so, of those that stand at its first level. */
function membersOf(head: string): string[] {
  const [, block = ""] = new RegExp(`^${head} \\{\\n([\\s\\S]*?)^\\}`, "m").exec(types) ?? [];
  return [...block.matchAll(/^ {2}(?:readonly )?(\w+)[(:]/gm)].map(([, name]) => name!);
}

const interfaces = [...types.matchAll(/^interface (\w+)/gm)].map(([, name]) => name!);
const values = [...types.matchAll(/^declare (?:var|function) (\w+)/gm)].map(([, name]) => name!);

/** Evaluates an expression in the sandbox. */
async function evaluate(expression: string): Promise<unknown> {
  const code = `throw new Error(JSON.stringify(${expression}))`;
  const options = { code, file: "a.ts", memoryBytes: 32 << 20, onHostCall: () => "=0" };
  const isolate = await ScriptIsolate.open(options);
  try {
    const [, message] = JSON.parse(isolate.installed.slice(1)) as [string, string];
    return JSON.parse(message);
  } finally {
    isolate.dispose();
  }
}

describe("the sandbox", () => {
  it("has the globals that are declared, and no others beside the language", async () => {
    const names = (await evaluate("Object.getOwnPropertyNames(globalThis)")) as string[];
    const language = runInNewContext("Object.getOwnPropertyNames(globalThis)") as string[];
    const own = names.filter((name) => name !== "console" && !language.includes(name));
    expect([...own, "console"].sort()).toEqual(values.toSorted());
    expect(names).toContain("console");
  });

  it.each(interfaces.filter((name) => name !== "Console"))("has all that is declared of %s", async (name) => {
    const members = membersOf(`interface ${name}(?: extends [^\\n]*)?`);
    expect(members).not.toEqual([]);
    const statics = membersOf(`declare var ${name}:`).filter((key) => key !== "new");
    const missing = await evaluate(`[
      ...${JSON.stringify(members)}.filter((key) => !(key in ${name}.prototype)),
      ...${JSON.stringify(statics)}.filter((key) => !(key in ${name})),
    ]`);
    expect(missing).toEqual([]);
  });

  it("has all that is declared of the console", async () => {
    const members = membersOf("interface Console");
    expect((await evaluate("Object.keys(console)")) as string[]).toEqual(expect.arrayContaining(members));
    expect(members).toHaveLength(5);
  });
});
