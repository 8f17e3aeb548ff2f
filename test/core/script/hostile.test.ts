/** Hostile scripts, one by one, in memory: what the client is told, and that others are as they were. */
import { describe, expect, it } from "vitest";
import { GatewayError } from "../../../core/errors.ts";
import { readManifest, ScriptLoadError } from "../../../core/script/manifest.ts";
import { bodyText, exchange } from "../../support/harness.ts";
import type { Attack } from "../../support/hostile-scripts/attack.ts";
import { BOMBS } from "../../support/hostile-scripts/bombs.ts";
import { GROUPS } from "../../support/hostile-scripts/groups.ts";
import { TOP_LEVEL } from "../../support/hostile-scripts/top-level.ts";
import { openScript } from "../../support/scripts.ts";

const HEALTHY =
  '{ request(req, ctx) { return ctx.reply({ body: ["a", new Map([[1, 2]]).get(1)].join("-") }); } }';

/** The code of the failure, or the reply's text. */
async function attack({ source }: Attack, cpuMs: number, memoryBytes?: number): Promise<string> {
  const limits = { cpuMs, wallMs: 300, ...(memoryBytes === undefined ? {} : { memoryBytes }) };
  await using script = await openScript(source, { limits });
  const x = exchange({ target: "/a?b=c", headers: { host: "gateway" } });
  try {
    const answer = await script.handler(x);
    const text = await bodyText(answer);
    return text === "upstream" ? JSON.stringify([x.path + x.search, x.headers.raw]) : text;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return error.code;
  }
}

async function isHealthy(): Promise<boolean> {
  await using script = await openScript(HEALTHY);
  return (await bodyText(await script.ask())) === "a-2";
}

const expected = ({ codes, body }: Attack): RegExp =>
  new RegExp(
    [
      ...codes.map((code) => `^${code}$`),
      ...(body instanceof RegExp ? [body.source] : body === undefined ? [] : [`^${literal(body)}$`]),
    ].join("|"),
    body instanceof RegExp ? body.flags : "",
  );
const literal = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

describe.each(Object.entries(GROUPS))("%s", (_group, attacks) => {
  it.each(Object.entries(attacks))("%s", async (_name, each) => {
    expect(await attack(each, each.isCut ? 10 : 1000)).toMatch(expected(each));
    expect(await isHealthy()).toBe(true);
  });
});

describe("memory bombs, given time", () => {
  it.each(Object.entries(BOMBS))("%s", async (_name, each) => {
    expect(await attack(each, 5000, 8 * 1024 ** 2)).toMatch(/^SCRIPT_(?:MEMORY|THREW)$/);
    expect(await isHealthy()).toBe(true);
  });
});

describe("refused when they are loaded", () => {
  it.each(Object.entries(TOP_LEVEL))("%s", async (_name, [source, says]) => {
    const where = { file: "plugins/test.ts", map: '{"version":3,"sources":[],"mappings":""}' };
    const loading = readManifest(`"use strict"; ({ default: (${source}) })`, where);
    await expect(loading).rejects.toBeInstanceOf(ScriptLoadError);
    await expect(loading).rejects.toThrow(says);
  });
});
