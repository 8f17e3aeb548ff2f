import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { loadConfigObject } from "../../../../core/config/load.ts";
import { upstreamSchema } from "../../../../core/config/upstream-schema.ts";
import { catalogue } from "../../../../plugins/index.ts";

const text = readFileSync(resolve(import.meta.dirname, "../../../../docs/health.md"), "utf8");
const { active, passive } = upstreamSchema.properties.health.properties;

/** A default as the tables write it. */
const written = (value: unknown): string => {
  if (value === undefined) return "";
  if (Array.isArray(value)) return `\`[${value.join(", ")}]\``;
  return `\`${typeof value === "object" ? JSON.stringify(value) : String(value)}\``;
};

describe("docs/health.md", () => {
  it("has an example that loads", async () => {
    const [example, ...more] = [...text.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)];
    expect(more).toEqual([]);
    const { config } = await loadConfigObject(parse(example![1]!), { catalogue, env: {} });
    expect(config.upstreams["users"]!.health.passive!.errorRate).toBe("50%");
  });

  it.each([
    ["active", "## Active checks", active.properties],
    ["passive", "## Passive health", passive.properties],
  ] as const)("has every option of %s with its default, and no others", (_name, heading, properties) => {
    const section = text.slice(text.indexOf(heading)).split("\n## ", 1)[0]!;
    const rows = [...section.matchAll(/^\| `(\w+)` \| (.*?) ?\|/gm)].map(([, key, value]) => [key, value]);
    expect(rows).toEqual(
      Object.entries(properties).map(([key, schema]) => [
        key,
        written((schema as { default?: unknown }).default),
      ]),
    );
  });
});
