/** Puts a header on every reply. */
import { definePlugin } from "sluice/plugin";

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      header: { type: "string", description: "Its name." },
      value: { type: "string", default: "sluice" },
    },
    required: ["header"],
    additionalProperties: false,
  },
  response(res, ctx) {
    res.headers.set(ctx.options.header, ctx.options.value);
  },
});
