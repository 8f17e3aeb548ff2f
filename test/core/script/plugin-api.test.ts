/** What the compiler makes of scripts. It is `tsc` that checks most of this. */
import { describe, expect, expectTypeOf, it } from "vitest";
import { definePlugin } from "../../../core/script/define-plugin.ts";
import type { FromJsonSchema, ScriptReply } from "../../../core/script/plugin-api.ts";

describe("definePlugin", () => {
  it("gives back the definition itself", () => {
    const definition = { request(): void {} };
    expect(definePlugin(definition)).toBe(definition);
  });

  it("gives the hooks options of the schema's type", () => {
    definePlugin({
      schema: {
        type: "object",
        properties: {
          greeting: { type: "string", default: "hello" },
          count: { type: "integer" },
          mode: { enum: ["fast", "slow"] },
          hosts: { type: "array", items: { type: "string" } },
          limit: { type: "object", properties: { max: { type: "number" } }, required: ["max"] },
        },
        required: ["mode"],
        additionalProperties: false,
      },
      request(_req, ctx) {
        expectTypeOf(ctx.options).toEqualTypeOf<{
          readonly greeting: string;
          readonly mode: "fast" | "slow";
          readonly count?: number;
          readonly hosts?: readonly string[];
          readonly limit?: { readonly max: number };
        }>();
        // @ts-expect-error: options are frozen
        ctx.options.greeting = "bye";
        // @ts-expect-error: there is no such option
        ctx.options.greting;
      },
      response(_res, ctx) {
        expectTypeOf(ctx.options.greeting).toEqualTypeOf<string>();
      },
    });
  });

  it("knows of no options without a schema", () => {
    definePlugin({
      request(_req, ctx) {
        // biome-ignore lint/complexity/noBannedTypes: an object without keys
        expectTypeOf(ctx.options).toEqualTypeOf<{}>();
      },
    });
  });

  it("types bodies as they are declared, each for itself", () => {
    definePlugin({
      body: { request: "json", response: "bytes", max: "1MB" },
      request(req) {
        expectTypeOf(req.body).toBeAny();
      },
      response(res) {
        expectTypeOf(res.body).toEqualTypeOf<Uint8Array>();
      },
    });
    definePlugin({
      body: { request: "text" },
      async request(req) {
        expectTypeOf(req.body).toEqualTypeOf<string>();
        // @ts-expect-error: text stays text
        req.body = 1;
      },
      response(res) {
        expectTypeOf(res.body).toBeNever();
        // @ts-expect-error: nobody declared it
        res.body = "text";
      },
    });
    // @ts-expect-error: there is no such kind
    definePlugin({ body: { request: "xml" }, request() {} });
  });

  it("takes a reply from a request hook, at once or later", () => {
    definePlugin({ request: (_req, ctx) => ctx.reply({ status: 204 }) });
    definePlugin({
      async request(req, ctx) {
        if (req.path === "/") return ctx.reply();
        return undefined;
      },
    });
    expectTypeOf<ScriptReply>().not.toBeAny();
  });

  it("refuses what a hook cannot return", () => {
    // @ts-expect-error: not a reply of ctx.reply
    definePlugin({ request: () => ({ status: 200 }) });
    // @ts-expect-error: text is no reply
    definePlugin({ request: async () => "hello" });
    // @ts-expect-error: a response hook replies nothing
    definePlugin({ response: (_res, ctx) => ctx.reply() });
    // @ts-expect-error: nor later
    definePlugin({ response: async (_res, ctx) => ctx.reply() });
  });

  it("refuses hooks, keys and types that do not exist", () => {
    // @ts-expect-error: the hook is called request
    definePlugin({ onRequest() {} });
    // @ts-expect-error: JSON Schema has no such type
    definePlugin({ schema: { type: "object", properties: { a: { type: "text" } } }, request() {} });
    // @ts-expect-error: options are an object
    definePlugin({ schema: { type: "string" }, request() {} });
    // @ts-expect-error: a size is text
    definePlugin({ body: { request: "text", max: 64 }, request() {} });
  });

  it("lets a request be changed where it can be, and nowhere else", () => {
    definePlugin({
      request(req) {
        req.url = "/other?full=1";
        req.path = "/other";
        req.query.set("page", "2");
        req.headers.append("x-a", "b");
        expectTypeOf(req.headers.get("x-a")).toEqualTypeOf<string | null>();
        expectTypeOf(req.params["id"]).toEqualTypeOf<string | undefined>();
        expectTypeOf(req.consumer?.name).toEqualTypeOf<string | undefined>();
        // @ts-expect-error: the method stays
        req.method = "POST";
        // @ts-expect-error: there is no status yet
        req.status;
      },
    });
  });

  it("keeps secrets from being read, and takes them where they are for", () => {
    definePlugin({
      async request(_req, ctx) {
        const token = ctx.secrets["TOKEN"]!;
        ctx.crypto.hmac("sha256", token, "text");
        const headers = { authorization: token.withPrefix("Bearer ") };
        const reply = await ctx.fetch("https://example.com", { headers });
        // @ts-expect-error: what was fetched is there to read
        reply.headers.set("x-a", "b");
        // @ts-expect-error: a secret is no text
        ctx.log.info(token);
        ctx.crypto.timingSafeEqual(token, "text");
      },
    });
  });
});

describe("FromJsonSchema", () => {
  it("takes alternatives, and what stands beside them", () => {
    expectTypeOf<
      FromJsonSchema<{ anyOf: [{ type: "string" }, { type: "array"; items: { type: "number" } }] }>
    >().toEqualTypeOf<string | readonly number[]>();
    expectTypeOf<FromJsonSchema<{ oneOf: [{ const: 1 }, { const: "a" }] }>>().toEqualTypeOf<1 | "a">();
    expectTypeOf<
      FromJsonSchema<{
        type: "object";
        properties: { a: { type: "string" }; b: { type: "string" } };
        anyOf: [{ required: ["a"] }, { required: ["b"] }];
        additionalProperties: false;
      }>
    >().toEqualTypeOf<{ readonly a?: string; readonly b?: string }>();
  });

  it("takes lists of types, and null", () => {
    expectTypeOf<FromJsonSchema<{ type: ["string", "null"] }>>().toEqualTypeOf<string | null>();
  });

  it("takes free keys, alone and beside others", () => {
    expectTypeOf<
      FromJsonSchema<{ type: "object"; additionalProperties: { type: "number" } }>
    >().toEqualTypeOf<{ readonly [key: string]: number }>();
    type Both = FromJsonSchema<{
      type: "object";
      properties: { name: { type: "string" } };
      required: ["name"];
      additionalProperties: { enum: ["x", "y"] };
    }>;
    expectTypeOf<Both["other"]>().toEqualTypeOf<"x" | "y">();
    expectTypeOf<Both["name"]>().toExtend<string>();
    expectTypeOf<FromJsonSchema<{ type: "object" }>>().toEqualTypeOf<{ readonly [key: string]: unknown }>();
  });

  it("does not guess where the schema says nothing", () => {
    expectTypeOf<FromJsonSchema<{ description: "What you like" }>>().toBeUnknown();
    expectTypeOf<FromJsonSchema<true>>().toBeUnknown();
  });
});
