import { describe, expect, it } from "vitest";
import { parseNode, parseRedisUrl } from "../../../core/store/redis-url.ts";

describe("a Redis's URL", () => {
  const plain = { host: "h", port: 6379, username: undefined, password: undefined, db: 0, tls: false };

  it.each([
    ["redis://h", plain],
    ["redis://h/", plain],
    ["rediss://h:7000/3", { ...plain, port: 7000, db: 3, tls: true }],
    ["redis://:p%40ss@h", { ...plain, password: "p@ss" }],
    ["redis://u:p:q@[::1]:1", { ...plain, username: "u", password: "p:q", host: "::1", port: 1 }],
  ])("%s is read", (url, address) => {
    expect(parseRedisUrl(url)).toEqual(address);
  });

  it.each([
    "redis://",
    "http://h",
    "h:6379",
    "redis://h:99999",
    "redis://h/x",
    "redis://h/1/2",
    "redis://h?db=1",
  ])("%s is none", (url) => {
    expect(parseRedisUrl(url)).toBeTypeOf("string");
  });

  it("with a password that cannot be decoded is refused without telling it", () => {
    expect(parseRedisUrl("redis://:hunter2%@h")).not.toContain("hunter2");
    expect(parseRedisUrl("redis://:hunter2%@h")).toContain("cannot be decoded");
  });

  it("is not how nodes of a cluster are written", () => {
    expect(parseNode("10.0.0.1:6379")).toEqual({ host: "10.0.0.1", port: 6379 });
    expect(parseNode("[::1]:7000")).toEqual({ host: "::1", port: 7000 });
  });
});
