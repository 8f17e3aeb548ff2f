import { expect, it } from "vitest";
import type { CheckedConfig } from "../../../core/config/checked.ts";
import { RouteNames } from "../../../core/threads/route-names.ts";

const config = (...names: string[]): Pick<CheckedConfig, "routes"> => ({
  routes: names.map((name) => ({ name })) as CheckedConfig["routes"],
});

it("knows the route that ran last, of the last two generations", () => {
  const names = new RouteNames();
  expect(names.lastOf({ lastRoute: undefined })).toBeUndefined();
  names.add(1, config("a", "b"));
  expect(names.lastOf({ lastRoute: { generation: 1, route: 1 } })).toBe("b");
  names.add(2, config("c"));
  expect(names.lastOf({ lastRoute: { generation: 1, route: 0 } })).toBe("a");
  expect(names.lastOf({ lastRoute: { generation: 2, route: 0 } })).toBe("c");
  names.add(3, config("d"));
  expect(names.lastOf({ lastRoute: { generation: 1, route: 0 } })).toBeUndefined();
  expect(names.lastOf({ lastRoute: { generation: 3, route: 7 } })).toBeUndefined();
});
