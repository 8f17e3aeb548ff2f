/** What a new plugin begins as. */

/** The source of a plugin. */
export function renderPlugin(name: string): string {
  return `// The plugin ${name}: a stage \`- plugin: ${name}\` in the pipeline of a route runs it, in a sandbox.
// \`schema\` says which options the stage may have; \`ctx.options\` gets its types from there.
// \`request\` runs on the way to the upstream: change the request, or return ctx.reply({ … }) to answer at once.
// \`response\` runs on the way back. Bodies are there for those who declare them: \`body: { request: "json" }\`.
// There are no files and no network, but \`ctx\` has crypto, metrics, a log, and what \`grants\` of the stage allow.
import { definePlugin } from "sluice/plugin";

export default definePlugin({
  schema: {
    type: "object",
    properties: {
      greeting: { type: "string", default: "hello", description: "What the upstream is told." },
    },
    additionalProperties: false,
  },

  request(req, ctx) {
    req.headers.set("x-greeting", ctx.options.greeting);
  },

  response(res) {
    res.headers.set("x-greeted-by", "${name}");
  },
});
`;
}

/**
 * The source of its test.
 * @param folder where plugins are, from the folder of the configuration
 */
export function renderTest(name: string, folder: string): string {
  const pluginsDir = folder === "plugins" ? "" : `    pluginsDir: ${JSON.stringify(folder)},\n`;
  return `import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestGateway } from "sluice/test";

test("${name} greets the upstream and marks the reply", async () => {
  const gw = await createTestGateway({
${pluginsDir}    routes: [
      { name: "all", match: {}, pipeline: [{ plugin: "${name}", greeting: "hi" }], upstream: "app" },
    ],
  });
  gw.upstream("app").reply({ status: 200, body: "ok" });

  const res = await gw.fetch("/x");

  assert.equal(res.status, 200);
  assert.equal(await res.text(), "ok");
  assert.equal(res.headers.get("x-greeted-by"), "${name}");
  assert.equal(gw.upstream("app").requests[0]?.headers["x-greeting"], "hi");
  await gw.close();
});
`;
}
