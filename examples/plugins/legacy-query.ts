/**
 * Serves an old API of one address with the new one: `/api.php?action=getUser&id=7&n=10` becomes `/users/7?limit=10`.
 *
 *   - plugin: legacy-query
 *     actions: { getUser: "/users/{id}", findUsers: /users }
 *     rename: { n: limit, p: page }
 */
import { definePlugin } from "sluice/plugin";

const TEXTS = { type: "object", additionalProperties: { type: "string" } } as const;

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      actions: { ...TEXTS, description: "Paths by action; `{name}` is a parameter of the query." },
      rename: { ...TEXTS, default: {}, description: "New names of the other parameters." },
      parameter: { type: "string", default: "action", description: "Which one names the action." },
      sunset: { type: "string", description: "When the old address ends, as an HTTP date." },
    },
    required: ["actions"],
    additionalProperties: false,
  },

  request(req, ctx) {
    const { actions, rename, parameter } = ctx.options;
    const refuse = (error: string) => ctx.reply({ status: 400, body: { error } });
    const given = new URLSearchParams(req.query);
    const action = given.get(parameter) ?? "";
    const template = Object.hasOwn(actions, action) ? actions[action]! : undefined;
    if (template === undefined) return refuse(`there is no action "${action}"`);
    given.delete(parameter);

    const inPath = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
    const missing = inPath.find((name) => !given.get(name));
    if (missing !== undefined) return refuse(`the parameter "${missing}" is missing`);
    const path = template.replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(given.get(name)!));
    const rest = [...given].filter(([name]) => !inPath.includes(name));
    const query = new URLSearchParams(rest.map(([name, value]) => [rename[name] ?? name, value]));
    req.url = query.size === 0 ? path : `${path}?${query}`;
  },

  response(res, ctx) {
    res.headers.set("deprecation", "true");
    if (ctx.options.sunset !== undefined) res.headers.set("sunset", ctx.options.sunset);
  },
});
