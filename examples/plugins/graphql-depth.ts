/**
 * Refuses GraphQL queries that are nested too deeply, fragments counted where they are used, before the server sees them.
 *
 *   - plugin: graphql-depth
 *     maxDepth: 8
 */
import { definePlugin } from "sluice/plugin";
import { depthOf } from "./lib/graphql.ts";

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      maxDepth: { type: "integer", minimum: 1, maximum: 100, default: 8, description: "Deepest field." },
    },
    additionalProperties: false,
  },
  body: { request: "json" },

  request(req, ctx) {
    const refuse = (message: string) => ctx.reply({ status: 400, body: { errors: [{ message }] } });
    // In the URL, in the body, or several at once.
    const given = [{ query: req.query.get("query") }, ...[req.body ?? []].flat()];
    const queries = given.map((one) => one?.query).filter((query) => typeof query === "string");
    if (queries.length === 0) return refuse("There is no query");
    for (const query of queries) {
      try {
        const depth = depthOf(query);
        const { maxDepth } = ctx.options;
        if (depth > maxDepth) return refuse(`The query is ${depth} levels deep; ${maxDepth} are allowed`);
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
        return refuse(error.message);
      }
    }
  },
});
