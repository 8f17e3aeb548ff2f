import { expect, it } from "vitest";
import { ScriptIsolate } from "../../../core/script/isolate.ts";

/** Keeps a thread for a few seconds: V8 interrupts nothing of that. */
const STALL = `(() => {
  const items = { asked: 0, get length() { return this.asked++ === 0 ? 1 : 2 ** 53 - 1; } };
  Array.prototype.indexOf.call(items, 1, 2 ** 53 - 2e7);
})()`;

const open = (before: string) =>
  ScriptIsolate.open({
    code: `"use strict"; ${before}; ({ default: { request() {} } })`,
    file: "plugins/x.ts",
    memoryBytes: 32 * 1024 ** 2,
    onHostCall: () => "=",
  });

it("does not wait for a top level that cannot be cut", async () => {
  await expect(open(STALL)).rejects.toMatchObject({ fault: "stuck" });
});

it("does not wait for what the top level has left for later", async () => {
  const isolate = await open(`JSON.parse = () => ${STALL}`);
  await expect(isolate.addStage(0, "{}")).rejects.toMatchObject({ fault: "stuck" });
});
