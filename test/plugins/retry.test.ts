import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type ConfigError, type ErrorCode, GatewayError } from "../../core/errors.ts";
import type { Handler } from "../../core/plugin.ts";
import type { Reply } from "../../core/reply.ts";
import { balance } from "../../plugins/balance.ts";
import { retry } from "../../plugins/retry.ts";
import { type Answer, below, createHost, ok, settle, statusOf } from "../support/attempts.ts";
import { bodyText, buildStage, exchange, type FakeHost, FakeUpstream, reply } from "../support/harness.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("retry", () => {
  it("asks once when the reply is good, and gives it", async () => {
    const upstream = below(ok());
    const handle = await buildStage(retry, {}, upstream, createHost());
    const good = await settle(handle(exchange()));
    expect([good.status, await bodyText(good), upstream.times.length]).toEqual([200, "good", 1]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("tries again what failed", async () => {
    const upstream = below("UPSTREAM_RESET", reply(503), ok());
    const handle = await buildStage(retry, {}, upstream, createHost());
    expect(await statusOf(handle)).toBe(200);
    expect(upstream.times).toHaveLength(3);
  });

  it.each([1, 2, 3, 5])("tries %d times in all, the first included, and gives what came last", async (n) => {
    const upstream = below("UPSTREAM_RESET", ...Array<Answer>(n - 1).fill("UPSTREAM_TIMEOUT"));
    const handle = await buildStage(retry, { attempts: n }, upstream, createHost());
    expect(await statusOf(handle)).toBe(n === 1 ? "UPSTREAM_RESET" : "UPSTREAM_TIMEOUT");
    expect(upstream.times).toHaveLength(n);
  });

  it("tries three times by default, and gives the last reply whole", async () => {
    const upstream = below(() => reply(503, { "x-nth": String(upstream.times.length) }, "busy"));
    const handle = await buildStage(retry, {}, upstream, createHost());
    const last = await settle(handle(exchange()));
    expect([last.status, last.headers.get("x-nth"), await bodyText(last)]).toEqual([503, "3", "busy"]);
  });

  const KINDS: [string, ErrorCode][] = [
    ["connect", "UPSTREAM_CONNECT_FAILED"],
    ["connect", "UPSTREAM_CONNECT_TIMEOUT"],
    ["connect", "UPSTREAM_TLS_FAILED"],
    ["reset", "UPSTREAM_RESET"],
    ["timeout", "UPSTREAM_TIMEOUT"],
    ["invalid", "UPSTREAM_REPLY_INVALID"],
    ["unavailable", "UPSTREAM_UNAVAILABLE"],
  ];
  it.each(KINDS)("tries %s (%s) again when it is in `on`, and only then", async (kind, code) => {
    const host = createHost();
    const listed = below(code, ok());
    expect(await statusOf(await buildStage(retry, { on: [kind] }, listed, host))).toBe(200);
    expect(host.collected("sluice_retries_total")).toEqual({
      [JSON.stringify({ route: "test", reason: kind })]: 1,
    });
    const unlisted = below(code, ok());
    const others = KINDS.map(([other]) => other).filter((other) => other !== kind);
    const on = [...new Set(others), 500];
    expect(await statusOf(await buildStage(retry, { on }, unlisted, createHost()))).toBe(code);
    expect(unlisted.times).toHaveLength(1);
  });

  it.each([400, 429, 500, 502, 503, 504, 599])("tries status %d again when it is listed", async (status) => {
    expect(await statusOf(await buildStage(retry, { on: [status] }, below(reply(status), ok())))).toBe(200);
    const others = [400, 429, 500, 502, 503, 504, 599].filter((other) => other !== status);
    const upstream = below(reply(status), ok());
    expect(await statusOf(await buildStage(retry, { on: others }, upstream))).toBe(status);
  });

  it("tries ranges of statuses again", async () => {
    for (const [status, result] of [
      [501, 501],
      [502, 200],
      [504, 200],
      [505, 505],
    ] as const) {
      const upstream = below(reply(status), ok());
      expect(await statusOf(await buildStage(retry, { on: ["connect", "502-504"] }, upstream))).toBe(result);
    }
  });

  it("by default tries connect, reset, timeout and 503 again, and nothing else", async () => {
    const again: (string | number)[] = [];
    const answers: Answer[] = [...KINDS.map(([, code]) => code), "STAGE_FAILED", "BODY_TOO_LARGE"];
    for (const status of [404, 429, 500, 502, 503, 504]) answers.push(reply(status));
    for (const answer of answers) {
      const result = await statusOf(await buildStage(retry, {}, below(answer, ok()), createHost()));
      if (result === 200) again.push(typeof answer === "string" ? answer : (answer as Reply).status);
    }
    expect(again).toEqual([
      "UPSTREAM_CONNECT_FAILED",
      "UPSTREAM_CONNECT_TIMEOUT",
      "UPSTREAM_TLS_FAILED",
      "UPSTREAM_RESET",
      "UPSTREAM_TIMEOUT",
      503,
    ]);
  });

  it("passes on errors that are not the gateway's", async () => {
    const upstream = below(new Error("a bug"), ok());
    expect(await statusOf(await buildStage(retry, {}, upstream, createHost()))).toBe("a bug");
    expect(upstream.times).toHaveLength(1);
  });

  it("works over handlers that answer or throw at once", async () => {
    let calls = 0;
    const handle = await buildStage(
      retry,
      {},
      () => {
        if (++calls === 1) throw new GatewayError("UPSTREAM_RESET");
        return ok();
      },
      createHost(),
    );
    expect(await statusOf(handle)).toBe(200);
  });
});

describe("methods", () => {
  it.each(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])("%s is tried again", async (method) => {
    const handle = await buildStage(retry, {}, below("UPSTREAM_RESET", ok()), createHost());
    expect(await statusOf(handle, exchange({ method }))).toBe(200);
  });

  it.each(["POST", "PATCH", "CONNECT", "PROPPATCH"])("%s never is unless it is listed", async (method) => {
    for (const answer of ["UPSTREAM_CONNECT_FAILED", reply(503)] as const) {
      const upstream = below(answer, ok());
      const handle = await buildStage(retry, {}, upstream, createHost());
      expect(await statusOf(handle, exchange({ method }))).not.toBe(200);
      expect(upstream.times).toHaveLength(1);
    }
    const handle = await buildStage(
      retry,
      { methods: [method] },
      below("UPSTREAM_RESET", ok()),
      createHost(),
    );
    expect(await statusOf(handle, exchange({ method }))).toBe(200);
  });

  it("that are listed are all there are; GET includes HEAD", async () => {
    const retried = async (method: string): Promise<boolean> => {
      const handle = await buildStage(
        retry,
        { methods: ["GET"] },
        below("UPSTREAM_RESET", ok()),
        createHost(),
      );
      return (await statusOf(handle, exchange({ method }))) === 200;
    };
    expect([await retried("GET"), await retried("HEAD"), await retried("PUT")]).toEqual([true, true, false]);
  });

  it("count as they were sent: a GET that a stage below made a POST is not tried again", async () => {
    const host = createHost();
    const upstream = below((x) => {
      x.method = "POST";
      throw new GatewayError("UPSTREAM_RESET");
    }, ok());
    expect(await statusOf(await buildStage(retry, {}, upstream, host))).toBe("UPSTREAM_RESET");
    expect(host.collected("sluice_retries_denied_total")).toEqual({
      '{"route":"test","reason":"method"}': 1,
    });
  });
});

describe("the next target", () => {
  const build = async (
    options: object,
    targets: string[],
  ): Promise<{ handle: Handler; upstream: FakeUpstream; host: FakeHost }> => {
    const host = createHost();
    const upstream = new FakeUpstream("users", targets);
    host.upstreams.set("users", upstream);
    const send = await buildStage(balance, { upstream: "users" }, undefined, host);
    const handle = await buildStage(retry, { ...options }, send, host);
    return { handle, upstream, host };
  };
  const fail =
    (code: ErrorCode): (() => never) =>
    () => {
      throw new GatewayError(code);
    };

  it("is one that has not failed this request", async () => {
    const { handle, upstream } = await build({}, ["a", "b", "c"]);
    for (const target of upstream.targets) target.answer = () => reply(503);
    await settle(handle(exchange()));
    expect(upstream.targets.map(({ seen }) => seen.length)).toEqual([1, 1, 1]);
    upstream.targets[2]!.answer = () => ok();
    for (let i = 0; i < 9; i++) expect(await statusOf(handle)).toBe(200);
  });

  it("is one that failed when there is no other", async () => {
    const { handle, upstream } = await build({ attempts: 4 }, ["a", "b"]);
    for (const target of upstream.targets) target.answer = fail("UPSTREAM_RESET");
    await settle(handle(exchange())).catch(() => {});
    expect(upstream.targets.reduce((sum, { seen }) => sum + seen.length, 0)).toBe(4);
    expect(upstream.targets.map(({ seen }) => seen.length)).toEqual([2, 2]);
  });

  it("is asked at once when the one before could not be reached, and after a wait when there is no other", async () => {
    const two = await build({}, ["a", "b"]);
    two.upstream.targets[0]!.answer = fail("UPSTREAM_CONNECT_FAILED");
    const began = performance.now();
    expect((await two.handle(exchange())).status).toBe(200);
    expect(performance.now() - began).toBe(0);

    const three = await build({}, ["a", "b", "c"]);
    for (const target of three.upstream.targets.slice(0, 2)) target.answer = fail("UPSTREAM_CONNECT_FAILED");
    expect((await three.handle(exchange())).status).toBe(200);

    const one = await build({ attempts: 2, backoff: { base: "100ms" } }, ["a"]);
    one.upstream.targets[0]!.answer = fail("UPSTREAM_CONNECT_FAILED");
    expect(await statusOf(one.handle)).toBe("UPSTREAM_CONNECT_FAILED");
    expect(performance.now() - began).toBe(50);
  });

  it("is asked after a wait when the first was reached and failed", async () => {
    const { handle, upstream } = await build({ backoff: { base: "100ms" } }, ["a", "b"]);
    upstream.targets[0]!.answer = fail("UPSTREAM_RESET");
    const began = performance.now();
    expect(await statusOf(handle)).toBe(200);
    expect(performance.now() - began).toBe(50);
  });
});

describe("the metrics of retry", () => {
  it("count retries by reason, requests that they saved, and those that failed to the end", async () => {
    const host = createHost();
    const handle = await buildStage(
      retry,
      { attempts: 2 },
      below("UPSTREAM_RESET", ok(), reply(503), "UPSTREAM_TIMEOUT", "UPSTREAM_RESET", reply(404), ok()),
      host,
    );
    for (let i = 0; i < 4; i++) await statusOf(handle);
    expect(host.collected("sluice_retries_total")).toEqual({
      '{"route":"test","reason":"reset"}': 2,
      '{"route":"test","reason":"503"}': 1,
    });
    expect(host.collected("sluice_retries_succeeded_total")).toEqual({ '{"route":"test"}': 2 });
    expect(host.collected("sluice_retries_exhausted_total")).toEqual({ '{"route":"test"}': 1 });
    expect(host.collected("sluice_retry_budget_used")).toEqual({
      '{"route":"test","stage":"stage"}': 0,
    });
  });
});

describe("the options of retry", () => {
  it.each<[string, object]>([
    ["no attempts", { attempts: 0 }],
    ["too many attempts", { attempts: 21 }],
    ["an unknown failure", { on: ["refused"] }],
    ["a status that is no failure", { on: [302] }],
    ["no failures", { on: [] }],
    ["a method in small letters", { methods: ["get"] }],
    ["no methods", { methods: [] }],
    ["a time without unit", { perTryTimeout: "2" }],
    ["a share without percent", { budget: "0.2" }],
    ["an unknown option", { retries: 3 }],
  ])("refuse %s", async (_what, options) => {
    await expect(buildStage(retry, options as Record<string, unknown>)).rejects.toThrow();
  });

  it("say where they make no sense, all at once", async () => {
    const options = {
      on: ["connect", "504-502"],
      perTryTimeout: "0s",
      backoff: { base: "2s" },
      maxRetryAfter: "25d",
      budget: "101%",
    };
    const error: ConfigError = await buildStage(retry, options).catch((e) => e);
    expect(error.problems.map(({ pointer }) => pointer).sort()).toEqual([
      "/backoff/base",
      "/budget",
      "/maxRetryAfter",
      "/on/1",
      "/perTryTimeout",
    ]);
  });
});
