import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createTestGateway } from "sluice/test";

const SUNSET = "Fri, 31 Dec 2027 23:59:59 GMT";
const gw = await createTestGateway({
  routes: [
    {
      name: "old",
      match: { path: "/api.php" },
      pipeline: [
        {
          plugin: "legacy-query",
          actions: { getUser: "/users/{id}", findUsers: "/users" },
          rename: { n: "limit", p: "page" },
          sunset: SUNSET,
        },
      ],
      upstream: "app",
    },
  ],
});
after(() => gw.close());

const sent = async (query: string): Promise<string | undefined> => {
  await gw.fetch(`/api.php?${query}`);
  return gw.upstream("app").last?.url;
};

test("makes paths of actions, and gives parameters their new names", async () => {
  assert.equal(await sent("action=getUser&id=7"), "/users/7");
  assert.equal(await sent("n=10&action=findUsers&p=2&q=a+b&q=c"), "/users?limit=10&page=2&q=a+b&q=c");
});

test("encodes what goes into a path", async () => {
  assert.equal(await sent("action=getUser&id=a%2Fb%3Fc"), "/users/a%2Fb%3Fc");
});

test("says that the old address ends", async () => {
  const res = await gw.fetch("/api.php?action=getUser&id=7");
  assert.equal(res.headers.get("deprecation"), "true");
  assert.equal(res.headers.get("sunset"), SUNSET);
});

test("refuses actions that there are not, and those without what they need", async () => {
  for (const [query, error] of [
    ["action=dropUser", 'there is no action "dropUser"'],
    ["action=constructor", 'there is no action "constructor"'],
    ["", 'there is no action ""'],
    ["action=getUser", 'the parameter "id" is missing'],
  ]) {
    const res = await gw.fetch(`/api.php?${query}`);
    assert.equal(res.status, 400);
    assert.deepEqual(await res.json(), { error });
  }
});
