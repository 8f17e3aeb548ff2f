/**
 * Tells the upstream who asks: claims of the consumer become headers. Stands below the stage that finds out who asks.
 *
 *   - plugin: claims-to-headers
 *     headers: { x-user-id: sub, x-user-mail: email }
 */
import { definePlugin } from "sluice/plugin";

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      headers: {
        type: "object",
        description: "Names of headers, and the claim that each is made of.",
        additionalProperties: { type: "string" },
      },
    },
    required: ["headers"],
    additionalProperties: false,
  },

  request(req, ctx) {
    for (const [header, claim] of Object.entries(ctx.options.headers)) {
      req.headers.delete(header); // what the client says of itself is never believed
      const value = req.consumer?.claims?.[claim];
      const values = [value ?? []].flat().filter((one) => one !== null && typeof one !== "object");
      if (values.length > 0) req.headers.set(header, values.map((one) => toHeader(String(one))).join(","));
    }
  },
});

/** Headers hold ASCII: the rest is percent-encoded, as in URLs, and so is what parts values. */
function toHeader(text: string): string {
  return /^[ -$&-+\--~]*$/.test(text) ? text : encodeURIComponent(text);
}
