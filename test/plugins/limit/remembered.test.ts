import { expect, it } from "vitest";
import { Remembered } from "../../../plugins/limit/remembered.ts";

function counted() {
  const seen: string[] = [];
  const remembered = new Remembered((text) => {
    seen.push(text);
    return text.length;
  });
  return { remembered, seen };
}

it("works a text out once", () => {
  const { remembered, seen } = counted();
  expect([remembered.of("a"), remembered.of("bc"), remembered.of("a")]).toEqual([1, 2, 1]);
  expect(seen).toEqual(["a", "bc"]);
});

it("does not keep long texts", () => {
  const { remembered, seen } = counted();
  for (const text of ["a".repeat(256), "a".repeat(257)]) for (let i = 0; i < 2; i++) remembered.of(text);
  expect(seen.map(({ length }) => length)).toEqual([256, 257, 257]);
});

it("forgets all when there are too many", () => {
  const { remembered, seen } = counted();
  for (let i = 0; i < 4096; i++) remembered.of(`${i}`);
  remembered.of("0");
  expect(seen).toHaveLength(4096);
  remembered.of("4096");
  remembered.of("0");
  expect(seen).toHaveLength(4098);
});
