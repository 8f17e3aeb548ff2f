import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createTestGateway } from "sluice/test";

const gw = await createTestGateway({
  routes: [
    {
      name: "all",
      match: { path: "/" },
      pipeline: [{ plugin: "ab-cookie", shares: { old: 50, new: 50 } }],
      upstream: "app",
    },
    {
      name: "none",
      match: { path: "/none" },
      pipeline: [{ plugin: "ab-cookie", shares: { old: 1, new: 0 } }],
      upstream: "app",
    },
  ],
});
after(() => gw.close());

const told = (): string | undefined => gw.upstream("app").last?.headers["x-variant"];

test("draws a variant for a browser that has none, and says so to both sides", async () => {
  const res = await gw.fetch("/");
  const [cookie = ""] = res.headers.getSetCookie();
  assert.match(cookie, /^variant=(old|new); Path=\/; Max-Age=2592000; SameSite=Lax; Secure; HttpOnly$/);
  assert.equal(cookie.slice("variant=".length, cookie.indexOf(";")), told());
});

test("keeps to the variant of the cookie", async () => {
  for (const variant of ["old", "new", "new", "old"]) {
    const res = await gw.fetch("/", { headers: { cookie: `a=1; variant=${variant}`, "x-variant": "mine" } });
    assert.equal(told(), variant);
    assert.deepEqual(res.headers.getSetCookie(), []);
  }
});

test("draws anew for a variant that there is no more", async () => {
  const res = await gw.fetch("/", { headers: { cookie: "variant=toString" } });
  assert.match(told() ?? "", /^(old|new)$/);
  assert.equal(res.headers.getSetCookie().length, 1);
});

test("draws by the shares", async () => {
  const counts: Record<string, number> = {};
  for (let i = 0; i < 400; i++) {
    await gw.fetch("/");
    counts[told() ?? ""] = (counts[told() ?? ""] ?? 0) + 1;
  }
  assert.ok(counts["old"]! > 120 && counts["new"]! > 120, JSON.stringify(counts));
  for (let i = 0; i < 50; i++) {
    await gw.fetch("/none");
    assert.equal(told(), "old");
  }
});
