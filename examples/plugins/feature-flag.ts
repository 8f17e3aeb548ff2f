/**
 * Asks a server which features are on, such as `{ "new-checkout": true }`, and tells the upstream. One request in each
 * `refreshMs` asks; the others go by what is known, and so do all when the server fails.
 *
 *   - plugin: feature-flag
 *     url: https://flags.example.com/shop.json
 *     flag: new-checkout
 *     grants: { fetch: [flags.example.com] }
 */
import { definePlugin } from "sluice/plugin";

/** What is known, by URL: for all stages that this script is, on one thread, until it changes. */
const known = new Map<string, { askedAt: number; flags: Record<string, unknown> }>();

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      url: { type: "string", description: "Gives the flags as a JSON object." },
      flag: { type: "string", pattern: "^[\\w-]+$", description: "Its name." },
      fallback: { type: "boolean", default: false, description: "What it is while nothing is known." },
      refreshMs: {
        type: "integer",
        minimum: 1000,
        default: 30_000,
        description: "How often flags are asked for.",
      },
    },
    required: ["url", "flag"],
    additionalProperties: false,
  },

  async request(req, ctx) {
    const { url, flag, fallback, refreshMs } = ctx.options;
    const now = ctx.now();
    const before = known.get(url);
    if (before === undefined || now - before.askedAt >= refreshMs) {
      const flags = before?.flags ?? {};
      known.set(url, { askedAt: now, flags }); // nobody else asks meanwhile
      try {
        const reply = await ctx.fetch(url, { timeoutMs: 500 });
        if (!reply.ok) throw new Error(`status ${reply.status}`);
        known.set(url, { askedAt: now, flags: { ...reply.json() } });
      } catch (error) {
        ctx.log.warn("flags cannot be had", { url, why: String(error) });
      }
    }
    const value = known.get(url)!.flags[flag];
    req.headers.set(`x-feature-${flag}`, (typeof value === "boolean" ? value : fallback) ? "on" : "off");
  },
});
