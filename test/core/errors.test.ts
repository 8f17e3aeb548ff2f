import { describe, expect, it } from "vitest";
import {
  ConfigError,
  ERRORS,
  type ErrorCode,
  GatewayError,
  problemBody,
  toGatewayError,
} from "../../core/errors.ts";

describe("the error table", () => {
  it.each(Object.entries(ERRORS))(
    "%s has a status of a failure and a sentence",
    (code, { status, title }) => {
      expect(code).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(600);
      expect(title).toMatch(/^[A-Z][^.]+$/);
    },
  );

  it("blames upstreams with 502 to 504 only, and the gateway itself when it holds requests back", () => {
    const own = [
      "NOT_CACHED",
      "NOT_READY",
      "AUTH_UNAVAILABLE",
      "TOKEN_UNAVAILABLE",
      "CIRCUIT_OPEN",
      "CONCURRENCY_LIMITED",
      "OVERLOADED",
      "DEADLINE_EXCEEDED",
      "STORE_UNAVAILABLE",
    ];
    for (const [code, { status }] of Object.entries(ERRORS)) {
      if (own.includes(code)) continue;
      expect([code, [502, 503, 504].includes(status)]).toEqual([code, code.startsWith("UPSTREAM_")]);
    }
  });
});

it("a problem may say more, but nothing else than it is", () => {
  const members = { errors: [{ in: "body" }], status: 200, code: "FINE" };
  const body = JSON.parse(problemBody("VALIDATION_FAILED", undefined, "id", members)) as object;
  expect(body).toMatchObject({
    errors: [{ in: "body" }],
    status: 400,
    code: "VALIDATION_FAILED",
    requestId: "id",
  });
});

describe("a gateway error", () => {
  it("knows its status, and says its title unless it has a detail", () => {
    const plain = new GatewayError("ROUTE_NOT_FOUND");
    expect(plain).toMatchObject({
      status: 404,
      message: ERRORS.ROUTE_NOT_FOUND.title,
      detail: undefined,
      headers: [],
    });
    expect("cause" in plain).toBe(false);
    const cause = new Error("x");
    const full = new GatewayError("INTERNAL", { detail: "Why", headers: ["a", "1"], cause });
    expect(full).toMatchObject({ status: 500, message: "Why", detail: "Why", headers: ["a", "1"], cause });
  });

  it("is made of anything thrown, with the cause kept", () => {
    const error = new GatewayError("IP_DENIED");
    expect(toGatewayError(error, "STAGE_FAILED")).toBe(error);
    expect(toGatewayError("x")).toMatchObject({ code: "INTERNAL", cause: "x" });
    expect(toGatewayError(new Error("y"), "STAGE_FAILED")).toMatchObject({ code: "STAGE_FAILED" });
  });
});

describe("problemBody", () => {
  it("is one line of JSON without what is not known", () => {
    const code: ErrorCode = "HOST_INVALID";
    expect(problemBody(code)).toBe(
      `{"type":"urn:sluice:error:HOST_INVALID","title":"${ERRORS[code].title}","status":400,"code":"HOST_INVALID"}\n`,
    );
  });
});

describe("a config error", () => {
  it("is one problem or several", () => {
    expect(new ConfigError("Bad", "/a").problems).toEqual([
      { code: "CONFIG_OPTION_INVALID", message: "Bad", pointer: "/a" },
    ]);
    expect(new ConfigError("Bad").problems[0]!.pointer).toBe("");
    expect(new ConfigError("Bad", "/a", "CONFIG_REGEX").problems[0]!.code).toBe("CONFIG_REGEX");
    const problems = [
      { code: "A", message: "one", pointer: "/1" },
      { code: "B", message: "two", pointer: "/2" },
    ];
    expect(new ConfigError(problems)).toMatchObject({ name: "ConfigError", problems, message: "one\ntwo" });
  });
});
