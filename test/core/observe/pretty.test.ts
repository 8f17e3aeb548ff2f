import { describe, expect, it } from "vitest";
import { describeLine } from "../../../core/observe/pretty.ts";

describe("pretty log lines", () => {
  it("puts a request in one readable line", () => {
    const line = describeLine({
      level: "info",
      time: "now",
      msg: "request",
      requestId: "r1",
      client: "127.0.0.1",
      method: "GET",
      host: "localhost",
      path: "/a",
      status: 200,
      route: "users",
      durationMs: 1.2345,
      bytesIn: 0,
      bytesOut: 12,
    });
    expect(line).toBe("GET /a 200 1.2 ms  requestId=r1 route=users bytesOut=12");
  });

  it("puts a problem of the configuration where a terminal can link to it", () => {
    const line = describeLine({ msg: "refused", code: "CONFIG_TYPE", file: "/g.yaml", line: 3, column: 7 });
    expect(line).toBe("/g.yaml:3:7 CONFIG_TYPE refused");
  });

  it("keeps an error's stack below the line, and other fields on it", () => {
    const line = describeLine({ msg: "failed", err: { stack: "Error: x\n  at y" }, listeners: ["a"] });
    expect(line).toBe('failed  listeners=["a"]\n    Error: x\n      at y');
  });
});
