/**
 * Takes values out of JSON replies before they leave: of fields with these names, wherever they are.
 *
 *   - plugin: redact-json
 *     fields: [password, iban]
 */
import { definePlugin } from "sluice/plugin";

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      fields: { type: "array", items: { type: "string" }, minItems: 1, description: "Their names." },
      replacement: { type: "string", default: "***", description: "What is there instead." },
    },
    required: ["fields"],
    additionalProperties: false,
  },
  body: { response: "json", max: "1MB" },

  response(res, ctx) {
    if (!/[/+]json\b/i.test(res.headers.get("content-type") ?? "")) return;
    const { fields, replacement } = ctx.options;
    const redact = (value: unknown): void => {
      if (typeof value !== "object" || value === null) return;
      const entries = value as Record<string, unknown>;
      for (const key of Object.keys(entries)) {
        if (fields.includes(key)) entries[key] = replacement;
        else redact(entries[key]);
      }
    };
    redact(res.body);
  },
});
