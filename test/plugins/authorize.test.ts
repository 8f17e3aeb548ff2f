import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Consumer, type ConfigError, GatewayError, textReply } from "../../core/plugin.ts";
import { authorize } from "../../plugins/authorize.ts";
import { buildStage, exchange, FakeHost } from "../support/harness.ts";

interface Request {
  readonly method?: string;
  readonly target?: string;
}

const USER: Consumer = {
  name: "mobile",
  roles: ["user", "beta"],
  claims: {
    plan: "gold",
    seats: 3,
    isAdmin: false,
    groups: ["a", "b"],
    scope: "read:orders write:orders",
    nothing: null,
  },
};

async function outcome(
  options: object,
  consumer: Consumer | undefined,
  request: Request = {},
  host = new FakeHost(),
) {
  const handler = await buildStage(authorize, options as never, () => textReply(200, "in"), host);
  const x = exchange(request);
  x.consumer = consumer;
  try {
    return (await handler(x)).status;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    expect(error.detail).toBeUndefined();
    return error.code;
  }
}

const allow = (...rules: object[]): object => ({ allow: rules });

describe("a rule", () => {
  it.each([
    [{ roles: ["user"] }, true],
    [{ roles: ["admin", "beta"] }, true],
    [{ roles: ["admin"] }, false],
    [{ roles: ["use"] }, false],
    [{ roles: { all: ["user", "beta"] } }, true],
    [{ roles: { all: ["user", "admin"] } }, false],
    [{ roles: { none: ["admin"] } }, true],
    [{ roles: { none: ["beta"] } }, false],
    [{ roles: { any: ["user"], none: ["beta"] } }, false],
    [{ roles: { any: ["user"], all: ["beta"], none: ["admin"] } }, true],
    [{ scopes: ["read:orders"] }, true],
    [{ scopes: ["read"] }, false],
    [{ scopes: { all: ["read:orders", "write:orders"] } }, true],
    [{ scopes: { all: ["read:orders", "delete:orders"] } }, false],
    [{ scopes: { none: ["delete:orders"] } }, true],
    [{ claims: { plan: "gold" } }, true],
    [{ claims: { plan: ["silver", "gold"] } }, true],
    [{ claims: { plan: "silver" } }, false],
    [{ claims: { plan: true } }, true],
    [{ claims: { absent: false } }, true],
    [{ claims: { absent: true } }, false],
    [{ claims: { constructor: true } }, false],
    [{ claims: { seats: "3" } }, true],
    [{ claims: { isAdmin: "false" } }, true],
    [{ claims: { nothing: "null" } }, true],
    [{ claims: { groups: "b" } }, true],
    [{ claims: { groups: "c" } }, false],
    [{ claims: { plan: { regex: "^g" } } }, true],
    [{ claims: { plan: "gold", groups: "c" } }, false],
    [{ consumer: "mobile" }, true],
    [{ consumer: ["web", "mobile"] }, true],
    [{ consumer: "web" }, false],
    [{ consumer: true }, true],
    [{ consumer: false }, false],
    [{ method: "GET" }, true],
    [{ method: ["POST", "PUT"] }, false],
    [{ path: "/orders/*" }, true],
    [{ path: "/users/*" }, false],
    [{ path: { regex: "^/orders/\\d+$" } }, true],
    [{ method: "GET", path: "/orders/:id", roles: ["user"] }, true],
    [{ method: "GET", path: "/orders/:id", roles: ["admin"] }, false],
  ])("%j fits: %s", async (rule, fits) => {
    expect(await outcome(allow(rule), USER, { target: "/orders/17" })).toBe(fits ? 200 : "FORBIDDEN");
  });

  it.each([
    [{ scp: "a b" }, true],
    [{ scp: ["b"] }, true],
    [{ scope: ["b", "c"] }, true],
    [{ scope: 7 }, false],
    [{ scope: "ab" }, false],
    [{}, false],
  ])("finds scopes in %j: %s", async (claims, fits) => {
    const consumer = { name: "a", roles: [], claims };
    expect(await outcome(allow({ scopes: ["b"] }), consumer)).toBe(fits ? 200 : "FORBIDDEN");
  });
});

it("lets in whom one rule allows", async () => {
  const options = allow({ roles: ["admin"] }, { method: "GET", roles: ["user"] });
  expect(await outcome(options, USER)).toBe(200);
  expect(await outcome(options, USER, { method: "DELETE" })).toBe("FORBIDDEN");
  expect(await outcome(options, { name: "root", roles: ["admin"] }, { method: "DELETE" })).toBe(200);
});

it("refuses whom a rule denies, though others allow it", async () => {
  const options = { ...allow({ consumer: true }), deny: [{ path: "/admin/*", roles: { none: ["admin"] } }] };
  expect(await outcome(options, USER, { target: "/orders" })).toBe(200);
  for (const target of ["/admin", "/admin/", "/%61dmin/x", "//admin//x", "/admin?x=/orders"]) {
    expect(await outcome(options, USER, { target })).toBe("FORBIDDEN");
  }
  expect(await outcome(options, { name: "root", roles: ["admin"] }, { target: "/admin" })).toBe(200);
});

it("goes by what the client asked for, not by what the route makes of it", async () => {
  const handler = await buildStage(authorize, allow({ path: "/orders", method: "POST" }) as never);
  const x = exchange({ target: "/orders", method: "POST" });
  x.path = "/v2";
  x.method = "GET";
  expect((await handler(x)).status).toBe(200);
});

it("allows nobody of whom nobody knows who it is, but what needs no consumer", async () => {
  for (const rule of [{ roles: ["user"] }, { scopes: ["a"] }, { claims: { a: true } }, { consumer: true }]) {
    expect(await outcome(allow(rule), undefined)).toBe("FORBIDDEN");
  }
  expect(await outcome(allow({ method: "GET" }), undefined)).toBe(200);
});

it("counts who was let in and who was not", async () => {
  const host = new FakeHost();
  await outcome(allow({ roles: ["user"] }), USER, {}, host);
  await outcome(allow({ roles: ["user"] }), undefined, {}, host);
  await outcome(allow({ roles: ["user"] }), undefined, {}, host);
  const counted = (result: string) => JSON.stringify({ route: "test", stage: "stage", outcome: result });
  expect(host.collected("sluice_authorize_requests_total")).toEqual({
    [counted("allowed")]: 1,
    [counted("denied")]: 2,
  });
});

it.each([
  [{ allow: [{ path: { regex: "(" } }] }, "CONFIG_REGEX", "/allow/0/path/regex"],
  [
    { allow: [{ consumer: true }], deny: [{ claims: { "a/b": { regex: "[" } } }] },
    "CONFIG_REGEX",
    "/deny/0/claims/a~1b/regex",
  ],
  [{ allow: [{ path: "/a/*/b" }] }, "CONFIG_PATTERN", "/allow/0/path"],
])("refuses %j", async (options, code, pointer) => {
  const error = await buildStage(authorize, options as never).catch((thrown: unknown) => thrown);
  expect((error as ConfigError).problems).toMatchObject([{ code, pointer }]);
});

it("lets in exactly those who have the roles", async () => {
  const role = fc.constantFrom("a", "b", "c", "d");
  const some = fc.uniqueArray(role, { minLength: 1 });
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(role), some, some, some, async (roles, any, all, none) => {
      const mine = new Set(roles);
      const fits =
        any.some((r) => mine.has(r)) && all.every((r) => mine.has(r)) && none.every((r) => !mine.has(r));
      const status = await outcome(allow({ roles: { any, all, none } }), { name: "x", roles });
      expect(status).toBe(fits ? 200 : "FORBIDDEN");
    }),
  );
});

it("leaves an audit event for each decision", async () => {
  const host = new FakeHost();
  await outcome(allow({ roles: ["user"] }), USER, {}, host);
  await outcome(allow({ roles: ["admin"] }), USER, {}, host);
  expect(host.audit.events).toEqual([
    { event: "authorize", outcome: "allowed", consumer: "mobile" },
    { event: "authorize", outcome: "refused", consumer: "mobile" },
  ]);
});
