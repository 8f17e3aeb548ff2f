import { describe, expect, it } from "vitest";
import { createGateway } from "../../../../core/embed.ts";
import { upstreamSchema } from "../../../../core/config/upstream-schema.ts";
import { createValidator } from "../../../../core/config/validate.ts";
import { proxyTo } from "../../../support/gateway.ts";
import { problemsOf } from "./health-options.ts";

describe("health options", () => {
  it.each([
    [{ body: "(" }, "CONFIG_REGEX", "/body", /unterminated group/i],
    [{ body: "ok", type: "tcp" }, "CONFIG_VALUE", "/body", /A tcp check has no body/],
    [{ body: "ok", method: "HEAD" }, "CONFIG_VALUE", "/body", /The reply to HEAD has no body/],
    [
      { statuses: [200, "300-200"] },
      "CONFIG_VALUE",
      "/statuses/1",
      /The range 300-200 ends before it begins/,
    ],
    [{ path: "/a b" }, "CONFIG_PATTERN", "/path", /percent-encoded/],
    [{ path: "/a#b" }, "CONFIG_PATTERN", "/path", /percent-encoded/],
    [{ path: "/ä" }, "CONFIG_PATTERN", "/path", /percent-encoded/],
    [{ headers: { "a b": "x" } }, "CONFIG_VALUE", "/headers/a b", /not a header name/],
    [{ headers: { "a/b": "x" } }, "CONFIG_VALUE", "/headers/a~1b", /not a header name/],
    [
      { headers: { Connection: "x" } },
      "CONFIG_VALUE",
      "/headers/Connection",
      /itself writes the header connection/,
    ],
    [{ headers: { a: "x", A: "y" } }, "CONFIG_VALUE", "/headers/A", /given twice/],
    [{ headers: { a: "x\ny" } }, "CONFIG_VALUE", "/headers/a", /control or non-Latin-1/],
    [{ interval: "0s" }, "CONFIG_VALUE", "/interval", /`interval` must be from 10ms to 1d/],
    [{ interval: "25d" }, "CONFIG_VALUE", "/interval", /`interval` must be from 10ms to 1d/],
    [{ timeout: "0s" }, "CONFIG_VALUE", "/timeout", /`timeout` must be from 1ms to 1d/],
    [{ jitter: "101%" }, "CONFIG_VALUE", "/jitter", /`jitter` must be from 0% to 100%/],
  ])("of active checks cannot be %o", (active, code, at, message) => {
    const problems = problemsOf({ active });
    expect(problems).toMatchObject([{ code, pointer: `/health/active${at}` }]);
    expect(problems[0]!.message).toMatch(message);
  });

  it.each([
    [{ failures: 0 }, "/failures", /Nothing would eject a target/],
    [{ statuses: ["599-500"] }, "/statuses/0", /ends before it begins/],
    [{ errorRate: "0%" }, "/errorRate", /`errorRate` must be from 1% to 100%/],
    [{ errorRate: "101%" }, "/errorRate", /from 1% to 100%/],
    [{ maxEjected: "101%" }, "/maxEjected", /from 0% to 100%/],
    [{ within: "0s" }, "/within", /`within` must be from 10ms to 1d/],
    [{ ejectFor: "0s" }, "/ejectFor", /`ejectFor` must be from 1ms to 365d/],
    [{ ejectFor: "10m" }, "/ejectFor", /longer than `maxEjectFor`, 5m/],
  ])("of passive health cannot be %o", (passive, at, message) => {
    const problems = problemsOf({ passive });
    expect(problems).toMatchObject([{ code: "CONFIG_VALUE", pointer: `/health/passive${at}` }]);
    expect(problems[0]!.message).toMatch(message);
  });

  it("can be left at their defaults, and at their limits", () => {
    expect(problemsOf({ active: {}, passive: {} })).toEqual([]);
    expect(
      problemsOf({
        active: { interval: "10ms", timeout: "1d", jitter: "100%", path: "/a?b=%20", statuses: ["200-200"] },
        passive: { failures: 0, errorRate: "100%", ejectFor: "5m", maxEjected: "100%", statuses: [] },
      }),
    ).toEqual([]);
  });

  it.each([
    { active: { statuses: [] } },
    { active: { statuses: [100] } },
    { active: { statuses: ["100-199"] } },
    { active: { method: "DELETE" } },
    { active: { path: "health" } },
    { active: { port: 0 } },
    { active: { healthyThreshold: 0 } },
    { active: { unhealthyThreshold: 0 } },
    { active: { interval: "10" } },
    { active: { unknown: 1 } },
    { passive: { failures: -1 } },
    { passive: { minRequests: 0 } },
    { passive: { errorRate: "half" } },
  ])("cannot be of another form: %o", (health) => {
    expect(createValidator(upstreamSchema)({ targets: ["http://a"], health })).not.toEqual([]);
  });

  it("that are wrong refuse the configuration at load, each at its place", async () => {
    const health = { active: { body: "(", statuses: ["300-200"] }, passive: { ejectFor: "1h" } };
    const config = proxyTo("http://127.0.0.1:9", {}, {}, { health });
    const error = await createGateway(config, { logTo: { write() {} } }).then(
      () => expect.unreachable(),
      (thrown: { problems: { pointer: string }[] }) => thrown,
    );
    expect(error.problems.map(({ pointer }) => pointer).sort()).toEqual([
      "/upstreams/main/health/active/body",
      "/upstreams/main/health/active/statuses/0",
      "/upstreams/main/health/passive/ejectFor",
    ]);
  });
});
