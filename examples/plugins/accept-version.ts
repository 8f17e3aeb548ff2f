/**
 * Versions of an API by the `Accept` header: `application/vnd.shop.v2+json` goes to `/v2/…`.
 *
 *   - plugin: accept-version
 *     vendor: shop
 *     versions: [1, 2]
 */
import { definePlugin } from "sluice/plugin";

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      vendor: { type: "string", pattern: "^[a-z][a-z0-9-]*$", description: "The name after `vnd.`." },
      versions: { type: "array", items: { type: "integer" }, minItems: 1, description: "Those there are." },
      fallback: { type: "integer", description: "For clients that ask for none; the newest by default." },
    },
    required: ["vendor", "versions"],
    additionalProperties: false,
  },

  request(req, ctx) {
    const { vendor, versions, fallback = Math.max(...versions) } = ctx.options;
    const pattern = new RegExp(`application/vnd\\.${vendor}\\.v(\\d+)\\+json`, "gi");
    const wanted = [...(req.headers.get("accept") ?? "").matchAll(pattern)].map(([, digits]) =>
      Number(digits),
    );
    const version = wanted.length === 0 ? fallback : wanted.find((one) => versions.includes(one));
    if (version === undefined) {
      const types = versions.map((one) => `application/vnd.${vendor}.v${one}+json`);
      return ctx.reply({
        status: 406,
        headers: { vary: "Accept" },
        body: { error: "no such version", types },
      });
    }
    req.path = `/v${version}${req.path}`;
    ctx.state["version"] = version;
  },

  response(res, ctx) {
    res.headers.append("vary", "Accept");
    res.headers.set("x-api-version", String(ctx.state["version"]));
  },
});
