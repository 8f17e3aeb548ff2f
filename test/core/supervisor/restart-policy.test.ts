import { expect, it } from "vitest";
import { RestartPolicy } from "../../../core/supervisor/restart-policy.ts";

it("starts again at once the first time, then waits twice as long each time, then gives up", () => {
  const policy = new RestartPolicy();
  const delays = Array.from({ length: 8 }, () => policy.onCrash(100));
  expect(delays).toEqual([0, 100, 200, 400, 800, 1600, 3200, undefined]);
});

it("begins anew after a process that served for long", () => {
  const policy = new RestartPolicy();
  for (let i = 0; i < 7; i++) policy.onCrash(9999);
  expect(policy.onCrash(10_000)).toBe(0);
  expect(policy.onCrash(0)).toBe(100);
});
