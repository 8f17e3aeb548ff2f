/**
 * Gives XML to clients that ask for it and upstreams that speak JSON only.
 *
 *   - plugin: json-to-xml
 *     root: product
 */
import { definePlugin } from "sluice/plugin";

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      root: {
        type: "string",
        pattern: "^[A-Za-z_][\\w.-]*$",
        default: "response",
        description: "Outermost.",
      },
    },
    additionalProperties: false,
  },
  body: { response: "text", max: "1MB" },

  request(req, ctx) {
    ctx.state["wantsXml"] = /\b(application|text)\/xml\b/i.test(req.headers.get("accept") ?? "");
    if (ctx.state["wantsXml"]) req.headers.set("accept", "application/json");
  },

  response(res, ctx) {
    res.headers.append("vary", "Accept");
    const isJson = /[/+]json\b/i.test(res.headers.get("content-type") ?? "");
    if (ctx.state["wantsXml"] !== true || !isJson || res.body === "") return;
    const xml = element(ctx.options.root, JSON.parse(res.body));
    res.body = `<?xml version="1.0" encoding="UTF-8"?>\n${xml}\n`;
    res.headers.set("content-type", "application/xml; charset=utf-8");
  },
});

/** Lists repeat their element; what cannot be the name of one stands in an attribute. */
function element(name: string, value: unknown): string {
  if (Array.isArray(value)) return value.map((item) => element(name, item)).join("");
  const isName = /^[A-Za-z_][\w.-]*$/.test(name);
  const tag = isName ? name : "item";
  const open = isName ? tag : `${tag} name="${escapeXml(name)}"`;
  if (value === null) return `<${open}/>`;
  if (typeof value !== "object") return `<${open}>${escapeXml(String(value))}</${tag}>`;
  const inside = Object.entries(value as object).map(([key, below]) => element(key, below));
  return `<${open}>${inside.join("")}</${tag}>`;
}

const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** XML has no control characters, not even escaped ones. */
function escapeXml(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\x20-\ufffd]/g, "")
    .replaceAll(/[&<>"]/g, (character) => ESCAPES[character]!);
}
