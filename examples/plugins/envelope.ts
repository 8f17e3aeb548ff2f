/**
 * One shape for all JSON replies: `{ data, meta }` when it went well, `{ error, meta }` when not.
 *
 *   - plugin: envelope
 */
import { definePlugin } from "sluice/plugin";

export default definePlugin({
  body: { response: "json", max: "1MB" },

  request(req, ctx) {
    ctx.state["meta"] = { requestId: req.id, route: req.route, since: ctx.now() };
  },

  response(res, ctx) {
    const isJson = /[/+]json\b/i.test(res.headers.get("content-type") ?? "");
    if (!isJson || res.body === undefined) return;
    const { since, ...meta } = ctx.state["meta"];
    const key = res.status < 400 ? "data" : "error";
    res.body = { [key]: res.body, meta: { ...meta, tookMs: ctx.now() - since } };
    res.headers.set("content-type", "application/json");
  },
});
