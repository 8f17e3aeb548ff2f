import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { normalizeTarget, parseTarget, targetId } from "../../../core/upstream/target-url.ts";

describe("the URL of a target", () => {
  it.each([
    ["http://127.0.0.1:8081", "http://127.0.0.1:8081", undefined, "127.0.0.1:8081", ""],
    ["http://a.test/", "http://a.test", undefined, "a.test", ""],
    ["https://a.test:8443/api/v1/", "https://a.test:8443", undefined, "a.test:8443", "/api/v1"],
    ["http://[::1]:81/b", "http://[::1]:81", undefined, "[::1]:81", "/b"],
    ["unix:/run/app.sock", "http://localhost", "/run/app.sock", "localhost", ""],
    ["unix:/run/app.sock:/base/", "http://localhost", "/run/app.sock", "localhost", "/base"],
    ["unix:/run/app.sock://x/y", "http://localhost", "/run/app.sock", "localhost", "//x/y"],
    ["unix:/run/app.sock:/a:b/é", "http://localhost", "/run/app.sock", "localhost", "/a:b/%C3%A9"],
  ])("says where %s is", (url, origin, socketPath, host, basePath) => {
    expect(parseTarget(url)).toEqual({ origin, socketPath, host, basePath });
  });

  it.each([
    ["http://A.test:80/", "http://a.test"],
    ["HTTP://a.test", "http://a.test"],
    ["http://a.test/x/", "http://a.test/x"],
    ["https://a.test:443", "https://a.test"],
    ["unix:/a.sock", "unix:/a.sock"],
    ["unix:/a.sock:/", "unix:/a.sock"],
    ["unix:/a.sock:/x/", "unix:/a.sock:/x"],
  ])("is the same however it is written: %s", (url, normal) => {
    expect(normalizeTarget(url)).toBe(normal);
    expect(normalizeTarget(normal)).toBe(normal);
  });

  it.each([
    ["http://a.test", "a.test:80"],
    ["https://a.test", "a.test:443"],
    ["http://a.test:8081/x", "a.test:8081/x"],
    ["http://[::1]", "[::1]:80"],
    ["unix:/a.sock:/x", "unix:/a.sock:/x"],
  ])("gives its id: %s", (url, id) => expect(targetId(url)).toBe(id));

  it("means the same place before and after it is made the same", () => {
    fc.assert(
      fc.property(fc.webUrl(), (url) => {
        expect(parseTarget(normalizeTarget(url))).toEqual(parseTarget(url));
        expect(normalizeTarget(normalizeTarget(url))).toBe(normalizeTarget(url));
      }),
    );
  });
});
