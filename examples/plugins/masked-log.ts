/**
 * Logs what requests say, without what nobody should read there: values of fields with these names, and mail addresses,
 * card numbers and IBANs wherever they stand.
 *
 *   - plugin: masked-log
 *     fields: [password, token]
 */
import { definePlugin } from "sluice/plugin";

// It begins where nothing of the kind is before it: otherwise long texts without an @ take very long.
const MAIL = /(?<![\w.+-])[\w.+-]+@[\w-]+(\.[\w-]+)+/g;
const IBAN = /\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b/g;
const CARD = /\b\d(?:[ -]?\d){12,18}\b/g;

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      fields: { type: "array", items: { type: "string" }, default: [], description: "Never shown." },
      maxChars: { type: "integer", minimum: 1, maximum: 4000, default: 1000, description: "Of a body." },
    },
    additionalProperties: false,
  },
  body: { request: "text" },

  request(req, ctx) {
    const { fields, maxChars } = ctx.options;
    const isSecret = (name: string): boolean =>
      fields.some((field) => field.toLowerCase() === name.toLowerCase());
    const query = Object.fromEntries(
      [...req.query].map(([name, value]) => [name, isSecret(name) ? "***" : mask(value)]),
    );
    let body = req.body;
    try {
      body = JSON.stringify(JSON.parse(body, (name, value) => (isSecret(name) ? "***" : value)));
    } catch {
      // Not JSON: there are no fields to look for.
    }
    const { method, path } = req;
    ctx.log.info("request", { method, path: mask(path), query, body: mask(body).slice(0, maxChars) });
  },
});

function mask(text: string): string {
  return text
    .replaceAll(MAIL, "<mail>")
    .replaceAll(IBAN, "<iban>")
    .replaceAll(CARD, (digits) => (isCard(digits.replaceAll(/\D/g, "")) ? "<card>" : digits));
}

/** By the check digit (Luhn), so that order numbers stay readable. */
function isCard(digits: string): boolean {
  const sum = [...digits].reverse().reduce((total, digit, i) => {
    const value = Number(digit) * (i % 2 === 0 ? 1 : 2);
    return total + (value > 9 ? value - 9 : value);
  }, 0);
  return sum % 10 === 0;
}
