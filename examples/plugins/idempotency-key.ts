/**
 * Makes it safe to send a POST again: a request with the `Idempotency-Key` of an earlier one gets the reply of that one,
 * and the upstream sees it once. Replies of 500 and above are not kept.
 *
 *   - plugin: idempotency-key
 *     grants: { kv: { store: main } }
 */
import { definePlugin } from "sluice/plugin";

interface Kept {
  readonly request: string;
  /** Missing while the first one is under way. */
  readonly reply?: { status: number; type: string | null; location: string | null; body: string };
}

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      hours: { type: "number", exclusiveMinimum: 0, default: 24, description: "How long replies are kept." },
      lockSeconds: { type: "integer", minimum: 1, default: 60, description: "Longest that one may take." },
    },
    additionalProperties: false,
  },
  body: { request: "bytes", response: "bytes", max: "40KB" }, // a value in a store has 64 KB

  async request(req, ctx) {
    const given = req.headers.get("idempotency-key");
    if (given === null || (req.method !== "POST" && req.method !== "PATCH")) return;
    const who = req.consumer?.name ?? req.ip;
    const key = ctx.crypto.hash("sha256", JSON.stringify([who, req.route, given]));
    const request = ctx.crypto.hash(
      "sha256",
      `${req.method} ${req.url} ${ctx.crypto.hash("sha256", req.body)}`,
    );
    const lock: Kept = { request };
    const ttlMs = 1000 * ctx.options.lockSeconds;
    if (await ctx.kv.set(key, JSON.stringify(lock), { ifAbsent: true, ttlMs })) {
      Object.assign(ctx.state, { key, request });
      return;
    }
    const kept: Kept = JSON.parse((await ctx.kv.get(key)) ?? JSON.stringify(lock));
    if (kept.request !== request)
      return ctx.reply({ status: 422, body: { error: "the key is of another request" } });
    if (kept.reply === undefined) {
      return ctx.reply({ status: 409, headers: { "retry-after": "1" }, body: { error: "it is under way" } });
    }
    const { status, type, location, body } = kept.reply;
    const headers = {
      "idempotency-replayed": "true",
      ...(type && { "content-type": type }),
      ...(location && { location }),
    };
    return ctx.reply({ status, headers, body: ctx.crypto.base64.decode(body) });
  },

  async response(res, ctx) {
    const { key, request } = ctx.state;
    if (key === undefined) return;
    if (res.status >= 500) return void (await ctx.kv.delete(key));
    const [type, location] = [res.headers.get("content-type"), res.headers.get("location")];
    const reply = { status: res.status, type, location, body: ctx.crypto.base64.encode(res.body) };
    const kept: Kept = { request, reply };
    await ctx.kv.set(key, JSON.stringify(kept), { ttlMs: Math.ceil(3_600_000 * ctx.options.hours) });
  },
});
