/**
 * A switch for all gateways on one store: while it is on, requests get a 503 with its notice. The stage with `isSwitch` is
 * the switch, on a route that only operators reach: `PUT ?notice=…` turns it on, `DELETE` off.
 *
 *   - plugin: maintenance
 *     grants: { kv: true }
 */
import { definePlugin } from "sluice/plugin";

const KEY = "notice";

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      isSwitch: { type: "boolean", default: false, description: "Turns it on and off." },
      retryAfterSeconds: { type: "integer", minimum: 1, default: 60, description: "When to come again." },
    },
    additionalProperties: false,
  },

  async request(req, ctx) {
    const { isSwitch, retryAfterSeconds } = ctx.options;
    if (isSwitch && req.method === "PUT") {
      await ctx.kv.set(KEY, req.query.get("notice") ?? "We will be back soon");
    }
    if (isSwitch && req.method === "DELETE") await ctx.kv.delete(KEY);
    const notice = await ctx.kv.get(KEY);
    if (isSwitch) return ctx.reply({ body: { isOn: notice !== undefined, notice } });
    if (notice === undefined) return;
    const headers = { "retry-after": String(retryAfterSeconds), "cache-control": "no-store" };
    return ctx.reply({ status: 503, headers, body: { error: notice } });
  },
});
