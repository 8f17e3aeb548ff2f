import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { loadConfigObject } from "../../../core/config/load.ts";
import { gatewaySchema } from "../../../core/config/schema.ts";
import { catalogue } from "../../../plugins/index.ts";
import { parse } from "yaml";
import { TempFolder } from "./temp-folder.ts";

const text = readFileSync(resolve(import.meta.dirname, "../../../docs/configuration.md"), "utf8");
const examples = [...text.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, yaml]) => yaml!);

describe("docs/configuration.md", () => {
  it("has examples that load", async () => {
    expect(examples).toHaveLength(2);
    const folder = new TempFolder();
    folder.write("plugins/README.md", "");
    for (const yaml of examples) {
      await loadConfigObject(parse(yaml), { catalogue, env: {}, baseDir: folder.path });
    }
    folder.remove();
  });

  it("shows every key of the gateway, its listeners, upstreams and routes", () => {
    const { listener, upstream, route } = gatewaySchema.definitions;
    const keys = [gatewaySchema, listener, upstream, route].flatMap(({ properties }) =>
      Object.keys(properties),
    );
    const missing = keys.filter((key) => !new RegExp(`\\b${key}:`).test(examples[1]!));
    expect(missing).toEqual(["include"]);
  });
});
