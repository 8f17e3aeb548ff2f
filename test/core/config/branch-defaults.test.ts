import { describe, expect, it } from "vitest";
import { findBranchDefaults, withoutBranchDefaults } from "../../../core/config/branch-defaults.ts";
import { createValidator } from "../../../core/config/validate.ts";
import type { JsonSchema } from "../../../core/plugin.ts";

const circle = {
  type: "object",
  properties: { radius: { type: "number", default: 1 }, kind: { const: "circle" } },
  required: ["kind"],
  additionalProperties: false,
} as const;
const square = {
  type: "object",
  properties: { side: { type: "number", default: 2 }, kind: { const: "square" } },
  required: ["kind"],
  additionalProperties: false,
} as const;

const object = (properties: Record<string, JsonSchema>, more: object = {}): JsonSchema => ({
  type: "object",
  properties,
  additionalProperties: false,
  ...more,
});

/** What a value comes to, or how many errors it has. */
const check = (schema: JsonSchema, value: unknown): unknown => {
  const errors = createValidator(schema)(value);
  return errors.length > 0 ? errors.length : value;
};

describe("defaults in branches", () => {
  it.each(["anyOf", "oneOf"])("of %s are those of the branch that holds", (keyword) => {
    const schema = object({ shape: { [keyword]: [circle, square] } });
    expect(check(schema, { shape: { kind: "circle" } })).toEqual({ shape: { kind: "circle", radius: 1 } });
    expect(check(schema, { shape: { kind: "square" } })).toEqual({ shape: { kind: "square", side: 2 } });
    expect(check(schema, { shape: { kind: "circle", radius: 5 } })).toEqual({
      shape: { kind: "circle", radius: 5 },
    });
    expect(check(schema, {})).toEqual({});
  });

  it("leave a value alone that is not valid", () => {
    const schema = object({ shape: { anyOf: [circle, square] }, size: { type: "number" } });
    const value = { shape: { kind: "circle" }, size: "large" };
    expect(check(schema, value)).toBeGreaterThan(0);
    expect(value).toEqual({ shape: { kind: "circle" }, size: "large" });
  });

  it("of the first branch that holds win", () => {
    const either = (by: number): JsonSchema => object({ by: { type: "number", default: by } });
    expect(check(object({ a: { anyOf: [either(1), either(2)] } }), { a: {} })).toEqual({ a: { by: 1 } });
  });

  it("stand beside those of the object around", () => {
    const schema = object({ shape: { anyOf: [circle, square] }, color: { type: "string", default: "red" } });
    expect(check(schema, { shape: { kind: "circle" } })).toEqual({
      shape: { kind: "circle", radius: 1 },
      color: "red",
    });
  });

  it.each<[string, JsonSchema, unknown, unknown]>([
    [
      "lists",
      { type: "array", items: { anyOf: [circle, square] } },
      [{ kind: "circle" }],
      [{ kind: "circle", radius: 1 }],
    ],
    [
      "maps",
      { type: "object", additionalProperties: { anyOf: [circle, square] } },
      { a: { kind: "square" } },
      { a: { kind: "square", side: 2 } },
    ],
    [
      "branches of branches",
      { anyOf: [{ type: "string" }, object({ of: { oneOf: [circle, square] } })] },
      { of: { kind: "circle" } },
      { of: { kind: "circle", radius: 1 } },
    ],
    [
      "lists in branches",
      {
        anyOf: [
          { type: "string" },
          { type: "array", items: object({ weight: { type: "integer", default: 1 } }) },
        ],
      },
      [{}, { weight: 3 }],
      [{ weight: 1 }, { weight: 3 }],
    ],
    ["texts beside them", { anyOf: [{ type: "string" }, circle] }, "circle", "circle"],
  ])("are found in %s", (_what, inner, value, expected) => {
    expect(findBranchDefaults(inner)).toBe(true);
    expect(check(object({ inner }), { inner: value })).toEqual({ inner: expected });
  });

  it("are found behind references", () => {
    const schema = object(
      { condition: { $ref: "#/definitions/condition" } },
      {
        definitions: {
          condition: { anyOf: [circle, { type: "array", items: { $ref: "#/definitions/condition" } }] },
        },
      },
    );
    expect(check(schema, { condition: { kind: "circle" } })).toEqual({
      condition: { kind: "circle", radius: 1 },
    });
    expect(check(schema, { condition: [[{ kind: "circle" }]] })).toEqual({
      condition: [[{ kind: "circle", radius: 1 }]],
    });
  });

  it("are not looked for where there are none", () => {
    expect(findBranchDefaults(object({ a: { type: "string", default: "x" } }))).toBe(false);
    expect(findBranchDefaults({ anyOf: [{ type: "string" }, object({ a: { type: "string" } })] })).toBe(
      false,
    );
  });

  it("are taken out of a copy for ajv, and those outside of branches stay", () => {
    const schema = object({
      color: { type: "string", default: "red" },
      shape: { anyOf: [circle, { type: "array", items: square }], default: {} },
    });
    const before = JSON.stringify(schema);
    const copy = JSON.stringify(withoutBranchDefaults(schema));
    expect(copy).toBe(
      before.replace('"default":1,', "").replace(',"default":1', "").replace(',"default":2', ""),
    );
    expect(JSON.stringify(schema)).toBe(before);
  });

  it("do not let what is named like a part of an object's nature through", () => {
    const schema = object({ shape: { anyOf: [circle, square] } });
    expect(check(schema, JSON.parse('{"__proto__":{"kind":"circle"}}'))).toBe(1);
    expect(check(schema, { constructor: { kind: "circle" } })).toBe(1);
  });
});
