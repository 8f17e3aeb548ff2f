/**
 * Lets a webhook pass when its sender has signed it: HMAC-SHA256 of `TIMESTAMP.BODY`, in a header such as
 * `t=1767225600,v1=5257a869…`, with several `v1` while keys change. What is old is refused, and what comes twice.
 *
 *   - plugin: webhook-signature
 *     grants: { kv: true, secrets: { WEBHOOK_KEY: "${env:WEBHOOK_KEY}" } }
 */
import { definePlugin } from "sluice/plugin";

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      header: { type: "string", default: "x-signature", description: "Where the signature is." },
      toleranceSeconds: { type: "integer", minimum: 1, default: 300, description: "How old it may be." },
    },
    additionalProperties: false,
  },
  body: { request: "bytes", max: "1MB" },

  async request(req, ctx) {
    const { header, toleranceSeconds } = ctx.options;
    const refuse = (reason: string) => ctx.reply({ status: 401, body: { error: reason } });
    const parts = (req.headers.get(header) ?? "").split(",").map((part) => part.trim().split("="));
    const time = parts.find(([name]) => name === "t")?.[1] ?? "";
    const signatures = parts.filter(([name]) => name === "v1").map(([, value = ""]) => value);
    if (!/^\d{1,12}$/.test(time) || signatures.length === 0) return refuse("the signature is missing");
    if (Math.abs(ctx.now() / 1000 - Number(time)) > toleranceSeconds)
      return refuse("the signature is too old");

    const prefix = new TextEncoder().encode(`${time}.`);
    const signed = new Uint8Array(prefix.length + req.body.length);
    signed.set(prefix);
    signed.set(req.body, prefix.length);
    const expected = ctx.crypto.hmac("sha256", ctx.secrets["WEBHOOK_KEY"]!, signed);
    const isRight = signatures.some((one) => ctx.crypto.timingSafeEqual(one.toLowerCase(), expected));
    if (!isRight) return refuse("the signature is wrong");

    const isNew = await ctx.kv.set(expected, "1", { ifAbsent: true, ttlMs: 2000 * toleranceSeconds });
    return isNew ? undefined : refuse("the webhook came before");
  },
});
