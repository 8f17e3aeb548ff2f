import { describe, expect, it } from "vitest";
import { NO_ROUTE } from "../../../core/exchange.ts";
import { accessLine } from "../../../core/observe/access-log.ts";
import type { Target } from "../../../core/plugin.ts";
import { exchange } from "../../support/harness.ts";

const outcome = { status: 200, code: undefined, error: undefined, bytesIn: 5, bytesOut: 7 };

describe("a line of the access log", () => {
  it("tells of the request as the client sent it, and of the reply", () => {
    const x = exchange({
      method: "POST",
      target: "/a%20b?secret=1",
      init: { authority: "a.test", clientAddress: "192.0.2.1" },
    });
    x.id = "r-1";
    x.method = "PUT";
    x.path = "/changed";
    x.route = { ...NO_ROUTE, name: "all" };
    expect(accessLine(x, outcome, 12.34567)).toEqual({
      requestId: "r-1",
      client: "192.0.2.1",
      method: "POST",
      host: "a.test",
      path: "/a%20b",
      status: 200,
      route: "all",
      durationMs: 12.346,
      bytesIn: 5,
      bytesOut: 7,
    });
  });

  it("tells of the upstream and splits the time, if one was asked", () => {
    const x = exchange();
    x.upstream = "users";
    x.target = { url: "http://127.0.0.1:1" } as Target;
    expect(accessLine(x, outcome, 10)).toMatchObject({ upstream: "users", target: "http://127.0.0.1:1" });
    expect(accessLine(x, outcome, 10)).not.toHaveProperty("upstreamMs");
    x.upstreamMs = 7.5;
    expect(accessLine(x, outcome, 10)).toMatchObject({ durationMs: 10, upstreamMs: 7.5, gatewayMs: 2.5 });
    expect(accessLine(x, outcome, 7)).toMatchObject({ gatewayMs: 0 });
  });

  it("tells how often targets were asked, if more than once", () => {
    const x = exchange();
    x.upstream = "users";
    x.attempts = 1;
    expect(accessLine(x, outcome, 10)).not.toHaveProperty("attempts");
    x.attempts = 3;
    expect(accessLine(x, outcome, 10)).toHaveProperty("attempts", 3);
  });

  it("tells of consumer, error code and stages, if there are any", () => {
    const x = exchange();
    x.consumer = { name: "mobile", roles: [] };
    x.timings = new Map([
      ["cors", 0.12345],
      ["balance", 2],
    ]);
    expect(accessLine(x, { ...outcome, status: 502, code: "UPSTREAM_RESET" }, 3)).toMatchObject({
      status: 502,
      consumer: "mobile",
      code: "UPSTREAM_RESET",
      stages: { cors: 0.123, balance: 2 },
    });
  });
});
