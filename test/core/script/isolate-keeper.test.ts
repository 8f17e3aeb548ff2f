import { expect, it } from "vitest";
import { IsolateKeeper } from "../../../core/script/isolate-keeper.ts";
import type { ScriptBundle } from "../../../core/script/script.ts";
import type { ScriptStage } from "../../../core/script/script-stage.ts";

const CODE = `({ default: { request: (req, ctx) => ctx.reply({ body: ctx.options }) } })`;
const MB = 1024 ** 2;

function open(code = CODE): { keeper: IsolateKeeper; stage(options: unknown): ScriptStage } {
  const bundle = { name: "x", file: "x.ts", code } as ScriptBundle;
  const keeper = new IsolateKeeper(bundle, 16 * MB, () => "=");
  const stage = (options: unknown) =>
    ({ bundle, options, grants: { secrets: {} }, host: { route: "r" } }) as unknown as ScriptStage;
  return { keeper, stage };
}

/** What the script answers as a stage. */
const ask = (keeper: IsolateKeeper, stage: ScriptStage): unknown =>
  keeper.isolate!.runSync([keeper.numberOf(stage)! * 2, 1, "GET /"], {
    timeout: 1000,
  });

it("keeps nothing of stages that are gone, however many there were", async () => {
  const { keeper, stage } = open();
  const [first, last] = [stage("first"), stage("last")];
  await keeper.addStage(first);
  const { heapBytes } = keeper.isolate!;
  for (let i = 0; i < 300; i++) {
    const one = stage(`${i} `.padEnd(100_000, "x"));
    await keeper.addStage(one);
    keeper.removeStage(one);
  }
  await keeper.addStage(last);
  expect([keeper.numberOf(first), keeper.numberOf(last)]).toEqual([0, 1]);
  expect([ask(keeper, first), ask(keeper, last)]).toEqual([
    expect.stringContaining("bt5:first"),
    expect.stringContaining("bt4:last"),
  ]);
  expect(keeper.isolate!.heapBytes - heapBytes).toBeLessThan(4 * MB);
  keeper.close();
});

it("has all stages in the isolate that comes after one that was lost", async () => {
  const { keeper, stage } = open();
  const [first, second] = [stage("first"), stage("second")];
  await keeper.addStage(first);
  keeper.lose(keeper.isolate!);
  const both = [keeper.open(), keeper.addStage(second)];
  await Promise.all(both);
  expect([ask(keeper, first), ask(keeper, second)]).toEqual([
    expect.stringContaining("first"),
    expect.stringContaining("second"),
  ]);
  keeper.close();
});

it("adds a stage to the next isolate when the one there is is lost meanwhile", async () => {
  const { keeper, stage } = open();
  await keeper.addStage(stage("first"));
  const isolate = keeper.isolate!;
  const late = stage("late");
  const added = keeper.addStage(late);
  keeper.lose(isolate);
  await added;
  // It may have been added just before that.
  expect(keeper.isolate ?? (await keeper.open())).not.toBe(isolate);
  expect(ask(keeper, late)).toContain("late");
  keeper.close();
  await expect(keeper.addStage(late)).rejects.toThrow("the script is closed");
  expect(keeper.numberOf(late)).toBe(undefined);
});

it("waits with a stage behind calls that are slow, however long that takes", async () => {
  const { keeper, stage } = open(
    `({ default: { request: () => { const end = Date.now() + 3500; while (Date.now() < end); } } })`,
  );
  const first = stage("first");
  await keeper.addStage(first);
  const isolate = keeper.isolate!;
  const slow = isolate.run([0, 1, "GET /"], { timeout: 10_000 });
  await keeper.addStage(stage("second"));
  expect([await slow, keeper.isolate === isolate]).toEqual([undefined, true]);
  keeper.close();
});
