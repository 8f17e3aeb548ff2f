/** Takes something off the prices of the shop. Edit this while `npm start` runs, save, and ask again. */
import { definePlugin } from "sluice/plugin";

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      percent: { type: "number", minimum: 0, maximum: 100, default: 10, description: "How much." },
    },
    additionalProperties: false,
  },
  body: { response: "json" },

  response(res, ctx) {
    for (const product of res.body.products ?? []) {
      product.was = product.price;
      product.price = Math.round(product.price * (100 - ctx.options.percent)) / 100;
    }
  },
});
