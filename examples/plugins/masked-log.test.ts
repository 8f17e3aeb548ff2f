import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createTestGateway } from "sluice/test";

const gw = await createTestGateway({
  routes: [
    {
      name: "all",
      match: {},
      pipeline: [{ plugin: "masked-log", fields: ["password"], maxChars: 200 }],
      upstream: "app",
    },
  ],
});
after(() => gw.close());

/** Sends a request; gives the fields of its line. */
async function logOf(url: string, body?: unknown): Promise<Record<string, unknown>> {
  await gw.fetch(url, body === undefined ? {} : { method: "POST", body });
  return gw.logs.at(-1)?.fields ?? {};
}

test("masks fields by name, at any depth, and in the query", async () => {
  const { query, body } = await logOf("/x?Password=a&page=2", {
    user: [{ PASSWORD: { a: 1 }, name: "Ada" }],
  });
  assert.deepEqual(query, { Password: "***", page: "2" });
  assert.equal(body, '{"user":[{"PASSWORD":"***","name":"Ada"}]}');
});

test("masks mail addresses, card numbers and IBANs wherever they stand", async () => {
  const { path, query, body } = await logOf(
    "/users/ada@example.org?q=a%40b.co",
    "to ada.l@mail.example.org, card 5500 0000 0000 0004 or 4111111111111112, DE89 3704 0044 0532 0130 00",
  );
  assert.equal(path, "/users/<mail>");
  assert.deepEqual(query, { q: "<mail>" });
  assert.equal(body, "to <mail>, card <card> or 4111111111111112, <iban>");
});

test("cuts long bodies, and sends them on whole", async () => {
  const text = "x".repeat(5000);
  assert.equal((await logOf("/", text))["body"], "x".repeat(200));
  assert.equal(gw.upstream("app").last?.text(), text);
});
