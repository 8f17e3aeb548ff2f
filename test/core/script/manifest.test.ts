import { describe, expect, it } from "vitest";
import { readManifest, type ScriptLoadError } from "../../../core/script/manifest.ts";

const MAP = '{"version":3,"sources":[],"mappings":""}';
const read = (definition: string, before = "") =>
  readManifest(`"use strict"; ${before}; ({ default: ${definition} })`, { file: "plugins/x.ts", map: MAP });
const failure = async (reading: Promise<unknown>): Promise<ScriptLoadError> =>
  reading.then(
    () => expect.fail("it was read"),
    (error: unknown) => error as ScriptLoadError,
  );

describe("a manifest", () => {
  it("says which hooks there are, and closes the schema", async () => {
    const manifest = await read(
      `{ schema: { type: "object", properties: { a: { type: "string" } } }, request() {} }`,
    );
    expect(manifest).toEqual({
      schema: { type: "object", properties: { a: { type: "string" } }, additionalProperties: false },
      hooks: { request: true, response: false },
      body: { request: undefined, response: undefined, maxBytes: 65_536 },
    });
  });

  it("takes no options where no schema is given", async () => {
    const { schema } = await read("{ response() {} }");
    expect(schema).toEqual({ type: "object", properties: {}, additionalProperties: false });
  });

  it("keeps what the author says of other options", async () => {
    const { schema } = await read(
      `{ schema: { type: "object", additionalProperties: { type: "string" } }, request() {} }`,
    );
    expect(schema["additionalProperties"]).toEqual({ type: "string" });
  });

  it("says how bodies are read", async () => {
    const { body } = await read(
      `{ body: { request: "json", response: "bytes", max: "1MB" }, request() {}, response() {} }`,
    );
    expect(body).toEqual({ request: "json", response: "bytes", maxBytes: 1024 * 1024 });
  });

  it.each([
    ["5", "default", "definePlugin"],
    ["undefined", "default", "definePlugin"],
    ["{}", "default", "needs a request hook"],
    ["{ request: 5 }", "request", "must be a function"],
    ["{ requests() {} }", "requests", 'does not know "requests"'],
    ["{ schema: 5, request() {} }", "schema", "must be a JSON Schema"],
    ['{ schema: { type: "string" }, request() {} }', "schema", "must describe an object"],
    ["{ body: 5, request() {} }", "body", "must be an object"],
    ['{ body: { request: "xml" }, request() {} }', "body", '"json", "text" or "bytes"'],
    ['{ body: { response: "json" }, request() {} }', "body", "there is no response hook"],
    ['{ body: { request: "json", max: "1 parsec" }, request() {} }', "body", "must be a size"],
    ['{ body: { request: "json", max: "17MB" }, request() {} }', "body", "16MB"],
    ['{ body: { requests: "json" }, request() {} }', "body", 'does not know "requests"'],
  ])("is refused for %s", async (definition, key, message) => {
    const error = await failure(read(definition));
    expect(error.key).toBe(key);
    expect(error.message).toContain(message);
  });

  it.each([
    ["throw new TypeError('no')", "throws while it is loaded: TypeError: no"],
    ["throw null", "throws while it is loaded: null"],
    ["null.x", "throws while it is loaded: TypeError"],
    ["for (;;);", "runs for more than a second"],
    ["const a = []; for (;;) a.push(new Array(1e5).fill(a))", "cannot be loaded"],
    ["const f = () => f(); f()", "throws while it is loaded: RangeError"],
    ["this is no JavaScript", "throws while it is loaded: SyntaxError"],
  ])("is refused for a top level that does: %s", async (before, message) => {
    expect((await failure(read("{ request() {} }", before))).message).toContain(message);
  });

  it("names the place of a top level that throws", async () => {
    const error = await failure(read("{ request() {} }", "\n\n   null.x"));
    expect(error.place).toMatchObject({ file: "plugins/x.ts", line: 3 });
  });
});
