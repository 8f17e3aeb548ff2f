import { expect, it } from "vitest";
import { ScriptNames } from "../../../core/script/names.ts";
import { scriptId } from "../../../core/script/script.ts";

const named = (i: number) => ({
  name: `script-${i}`,
  version: i.toString(16).padStart(64, "0").split("").toReversed().join(""),
  file: `plugins/script-${i}.ts`,
});

it("knows scripts by their numbers, those of earlier configurations too", () => {
  const names = new ScriptNames();
  names.add([named(1), named(2)]);
  names.add([named(3)]);
  expect([1, 2, 3].map((i) => names.get(scriptId(named(i).version))?.name)).toEqual([
    "script-1",
    "script-2",
    "script-3",
  ]);
  expect(names.get(scriptId(named(4).version))).toBeUndefined();
});

it("forgets what was not in a configuration for long", () => {
  const names = new ScriptNames();
  names.add([named(1), named(2)]);
  for (let i = 10; i < 1500; i++) names.add([named(1), named(i)]);
  expect([1, 2, 1499].map((i) => names.get(scriptId(named(i).version))?.name)).toEqual([
    "script-1",
    undefined,
    "script-1499",
  ]);
});
