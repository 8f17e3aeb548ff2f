/**
 * An A/B test: each browser gets a variant at random, keeps it in a cookie, and the upstream is told which.
 *
 *   - plugin: ab-cookie
 *     shares: { old: 90, new: 10 }
 */
import { definePlugin } from "sluice/plugin";

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      shares: {
        type: "object",
        description: "Variants, and how many of those who come get each.",
        additionalProperties: { type: "number", minimum: 0 },
        propertyNames: { pattern: "^[\\w-]+$" },
        minProperties: 1,
      },
      cookie: { type: "string", pattern: "^[\\w-]+$", default: "variant", description: "Its name." },
      header: { type: "string", default: "x-variant", description: "Tells the upstream." },
      days: { type: "integer", minimum: 1, default: 30, description: "How long it is kept." },
    },
    required: ["shares"],
    additionalProperties: false,
  },

  request(req, ctx) {
    const { shares, cookie, header } = ctx.options;
    const cookies = (req.headers.get("cookie") ?? "").split(";").map((one) => one.trim().split("="));
    const kept = cookies.find(([name]) => name === cookie)?.[1] ?? "";
    const isKnown = Object.hasOwn(shares, kept);
    const variant = isKnown ? kept : draw(Object.entries(shares));
    req.headers.set(header, variant);
    if (!isKnown) ctx.state["variant"] = variant;
    ctx.metrics.counter("requests").inc({ variant });
  },

  response(res, ctx) {
    const { cookie, days } = ctx.options;
    const { variant } = ctx.state;
    if (variant === undefined) return;
    const attributes = `Path=/; Max-Age=${days * 86_400}; SameSite=Lax; Secure; HttpOnly`;
    res.headers.append("set-cookie", `${cookie}=${variant}; ${attributes}`);
  },
});

/** Draws one by its share. */
function draw(shares: readonly (readonly [variant: string, share: number])[]): string {
  let left = Math.random() * shares.reduce((sum, [, share]) => sum + share, 0);
  return (shares.find(([, share]) => (left -= share) < 0) ?? shares[0]!)[0];
}
