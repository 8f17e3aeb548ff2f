import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createTestGateway } from "sluice/test";

const gw = await createTestGateway({
  routes: [
    {
      name: "graphql",
      match: { path: "/graphql" },
      pipeline: [{ plugin: "graphql-depth", maxDepth: 3 }],
      upstream: "app",
    },
  ],
});
after(() => gw.close());

/** Sends a query; gives the status, or why it was refused. */
async function ask(...queries: string[]): Promise<number | string> {
  const all = queries.map((query) => ({ query }));
  const res = await gw.fetch("/graphql", { method: "POST", body: all.length === 1 ? all[0] : all });
  return res.status === 400 ? (await res.json()).errors[0].message : res.status;
}

const TOO_DEEP = "The query is 4 levels deep; 3 are allowed";

test("lets queries pass that are not too deep, with all that the language has", async () => {
  assert.equal(await ask("{ a { b { c } } }"), 200);
  const query = `
    # { a { b { c { d } } } }
    query Find($in: In! = { a: { b: { c: { d: 1 } } } }, $n: [Int!]) @cached(ttl: -1.5e3) {
      first: users(in: $in, text: "} { \\" {", more: """ { " {{ \\""" { """) @include(if: true) {
        ... on User @skip(if: false) { name, friends(n: [1, 2]) { id } }
        ...more
      }
    }
    fragment more on User { on fragment query }`;
  assert.equal(await ask(query), 200);
});

test("refuses deeper ones, wherever the depth is", async () => {
  assert.equal(await ask("{ a { b { c { d } } } }"), TOO_DEEP);
  assert.equal(await ask("query A { a } mutation B { a { b { ... { ... on X { c { d } } } } } }"), TOO_DEEP);
  assert.equal(
    await ask("{ a { ...f } } fragment f on X { b { ...g } } fragment g on Y { c { d } }"),
    TOO_DEEP,
  );
  assert.equal(await ask("{ a }", "{ a { b { c { d } } } }"), TOO_DEEP);
  const inUrl = await gw.fetch(`/graphql?query=${encodeURIComponent("{ a { b { c { d } } } }")}`);
  assert.equal(inUrl.status, 400);
});

test("says what is wrong with what is no query", async () => {
  const cannot = "The query cannot be read:";
  assert.equal(await ask("{ a { b }"), `${cannot} it ends too early`);
  assert.equal(await ask("{ a(b: { c }"), `${cannot} it ends too early`);
  assert.equal(await ask("{ a } }"), `${cannot} "}" where an operation or a fragment must be`);
  assert.equal(await ask("{ ...f }"), `${cannot} there is no fragment "f"`);
  assert.equal(await ask("{ ...f } fragment f on X { ...f }"), `${cannot} the fragment "f" uses itself`);
  assert.equal(await ask("fragment f on X { a }"), `${cannot} it has no operation`);
  assert.equal(await ask("{a".repeat(9000)), `${cannot} it has more than 200 levels`);
  assert.equal((await gw.fetch("/graphql", { method: "POST", body: {} })).status, 400);
  assert.equal((await gw.fetch("/graphql", { method: "POST", body: "{ a }" })).status, 400);
});

test("measures fragments that multiply in no time", async () => {
  const fragments = Array.from({ length: 40 }, (_, i) => `fragment f${i} on X { ...f${i + 1} ...f${i + 1} }`);
  assert.equal(await ask(`{ ...f0 } ${fragments.join(" ")} fragment f40 on X { a }`), 200);
});
