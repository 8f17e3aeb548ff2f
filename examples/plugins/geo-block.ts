/**
 * Keeps out, or lets in, requests by the country that a CDN in front has put into a header. Only the CDN may be able to
 * reach the gateway: anybody else could write what they like.
 *
 *   - plugin: geo-block
 *     allow: [DE, FR]
 */
import { definePlugin } from "sluice/plugin";

const COUNTRIES = { type: "array", items: { type: "string", pattern: "^[A-Z]{2}$" }, minItems: 1 } as const;

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      allow: { ...COUNTRIES, description: "The only countries that are let in." },
      deny: { ...COUNTRIES, description: "Countries that are kept out." },
      header: { type: "string", default: "cf-ipcountry", description: "What the CDN writes into." },
      unknown: { enum: ["allow", "deny"], default: "deny", description: "For those without a country." },
    },
    oneOf: [{ required: ["allow"] }, { required: ["deny"] }],
    additionalProperties: false,
  },

  request(req, ctx) {
    const { allow, deny, header, unknown } = ctx.options;
    const country = (req.headers.get(header) ?? "").trim().toUpperCase();
    const isKnown = /^[A-Z]{2}$/.test(country) && country !== "XX";
    const isWelcome = isKnown
      ? (allow?.includes(country) ?? true) && !(deny?.includes(country) ?? false)
      : unknown === "allow";
    if (isWelcome) return;
    ctx.metrics.counter("refused").inc({ country: isKnown ? country : "unknown" });
    return ctx.reply({ status: 403, body: { error: "This is not available in your country" } });
  },
});
