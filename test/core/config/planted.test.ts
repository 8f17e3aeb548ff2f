/** Secrets in every place of a configuration that can hold one: no check and no dump shows any, whatever else is wrong. */
import { afterAll, expect, it } from "vitest";
import { stringify } from "yaml";
import { check } from "../../../core/cli/check.ts";
import { dump } from "../../../core/cli/dump.ts";
import { catalogue } from "../../../plugins/index.ts";
import { Planted, plantedConfig, plantedPlaces, secretPlaces } from "../../support/planted.ts";
import { TempFolder } from "./temp-folder.ts";

const folder = new TempFolder();
afterAll(() => folder.remove());
const planted = new Planted();
const outside = { upstream: "http://127.0.0.1:1", oauth: "http://127.0.0.1:1", redis: "127.0.0.1:1" };
const { config } = await plantedConfig(planted, outside);
const places = plantedPlaces(config, planted);

/** Whether a planted place is, or is in, one that a schema names. */
const isOf = (place: string, secret: string): boolean => {
  const [own, wanted] = [place.split("."), secret.split(".")];
  return wanted.every(
    (name, i) =>
      name === own[i] || name === `*` || (i === wanted.length - 1 && own[i]?.startsWith(`${name}[`)),
  );
};

it("has a secret in every place that a schema calls secret", () => {
  const empty = [...secretPlaces()].filter(
    (secret) => ![...places.keys()].some((place) => isOf(place, secret)),
  );
  expect(empty, "plant one in test/support/planted.ts").toEqual([]);
});

type Parent = Record<string | number, unknown>;

/** Ways to get a secret wrong. */
const MISTAKES: Record<string, (parent: Parent, key: string | number, value: string) => void> = {
  "as it is": () => {},
  "a key that nobody knows": (parent, key, value) => {
    delete parent[key];
    parent[`${String(key).slice(0, -1)}_`] = value;
  },
  "a list": (parent, key, value) => (parent[key] = [value]),
  "a map": (parent, key, value) => (parent[key] = { inner: value }),
  "a number before it": (parent, key, value) => (parent[key] = `1${value}`),
  "an unknown reference": (parent, key, value) => (parent[key] = `\${vault:${value}}`),
  "a reference that never ends": (parent, key, value) => (parent[key] = `${value}\${env:`),
  "another key beside it": (parent, _key, value) => (parent["beside"] = value),
};

it.each(Object.entries(MISTAKES))("shows none of them: %s", async (what, mistake) => {
  const copy = structuredClone(config);
  for (const path of places.values()) {
    const key = path.at(-1)!;
    const parent = path
      .slice(0, -1)
      .reduce<Parent>((at, step) => at[step] as Parent, copy as unknown as Parent);
    mistake(parent, key, parent[key] as string);
  }
  let text = "";
  const write = (part: string): void => void (text += part);
  const io = { cwd: folder.path, env: {}, isTty: false, write, writeError: write };
  const file = folder.write("gateway.yaml", stringify(copy));
  const statuses: number[] = [];
  for (const format of ["text", "json"] as const) {
    statuses.push(await check({ file, format }, io, { catalogue, compile: async () => [] }));
  }
  for (const effective of [true, false]) {
    for (const format of ["yaml", "json"] as const) {
      statuses.push(await dump({ file, format, effective }, io, catalogue));
    }
  }
  expect(new Set(statuses)).toEqual(new Set([what === "as it is" ? 0 : 1]));
  expect(text).toContain("***");
  expect(planted.in(text)).toEqual([]);
});

it("shows none of them where the file is cut off", async () => {
  const whole = stringify(config);
  let text = "";
  const write = (part: string): void => void (text += part);
  const io = { cwd: folder.path, env: {}, isTty: false, write, writeError: write };
  for (const match of whole.matchAll(/planted\d+x/g)) {
    const file = folder.write(
      "gateway.yaml",
      `${whole.slice(0, match.index)}"${whole.slice(match.index, match.index + 40)}`,
    );
    await check({ file, format: "text" }, io, { catalogue, compile: async () => [] });
  }
  expect(text).toContain("CONFIG_SYNTAX");
  expect(planted.in(text)).toEqual([]);
});

it("shows none of them where it has a comma between brackets", async () => {
  const whole = stringify(config, { collectionStyle: "flow" });
  let text = "";
  const write = (part: string): void => void (text += part);
  const io = { cwd: folder.path, env: {}, isTty: false, write, writeError: write };
  for (const { index } of whole.matchAll(/(?<=: )\S*?planted\d+x/g)) {
    const file = folder.write("gateway.yaml", `${whole.slice(0, index)}a,${whole.slice(index)}`);
    await check({ file, format: "text" }, io, { catalogue, compile: async () => [] });
  }
  expect(text).toContain("a text with a comma in it must be in quotes");
  expect(planted.in(text)).toEqual([]);
});
