import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { redirect } from "../../plugins/redirect.ts";
import { buildStage, exchange, type RequestInit } from "../support/harness.ts";

async function run(options: Record<string, unknown>, request: RequestInit = {}) {
  const handler = await buildStage(redirect, options, () => {
    throw new Error("next was called");
  });
  return handler(exchange(request));
}

async function location(options: Record<string, unknown>, request: RequestInit = {}) {
  return (await run(options, request)).headers.get("location");
}

describe("a redirect", () => {
  it("is a 308 with a location and no body by default", async () => {
    const out = await run({ to: "/new" });
    expect(out.status).toBe(308);
    expect(out.body).toBeNull();
    expect(out.headers.raw).toEqual(["content-length", "0", "location", "/new"]);
  });

  it.each([301, 302, 303, 307, 308])("may have status %d", async (status) => {
    expect((await run({ to: "/new", status })).status).toBe(status);
  });

  it("fills in params and other variables, encoded", async () => {
    const params = { id: "a/b?c#d é\r\n" };
    expect(await location({ to: "/new/{id}" }, { params })).toBe("/new/a%2Fb%3Fc%23d%20%C3%A9%0D%0A");
    expect(await location({ to: "/q?id={id}#{id}" }, { params: { id: "1&x=#" } })).toBe(
      "/q?id=1%26x%3D%23#1%26x%3D%23",
    );
  });

  it("keeps what a prefix left over as it came", async () => {
    expect(await location({ to: "/new/{*}" }, { params: { "*": "a%20b/c" } })).toBe("/new/a%20b/c");
  });

  it("goes to another site", async () => {
    const request = { target: "/a%20b?x" };
    expect(await location({ to: "https://new.example.com" }, request)).toBe("https://new.example.com/?x");
    expect(await location({ to: "https://new.example.com:8443/a" }, request)).toBe(
      "https://new.example.com:8443/a?x",
    );
    expect(await location({ to: "https://new.example.com{request.path}" }, request)).toBe(
      "https://new.example.com/a%20b?x",
    );
  });

  it("appends the query to that of `to`, before the fragment", async () => {
    const request = { target: "/a?x=1&y" };
    expect(await location({ to: "/new" }, request)).toBe("/new?x=1&y");
    expect(await location({ to: "/new?z=2#top" }, request)).toBe("/new?z=2&x=1&y#top");
    expect(await location({ to: "/new?" }, request)).toBe("/new?x=1&y");
    expect(await location({ to: "/new" }, { target: "/a?" })).toBe("/new");
  });

  it("leaves the query out when told to", async () => {
    const request = { target: "/a?x=1" };
    expect(await location({ to: "/new?z=2", keepQuery: false }, request)).toBe("/new?z=2");
    expect(await location({ scheme: "https", keepQuery: false }, request)).toBe("https://localhost/a");
  });

  it("uses the client's URL, whatever stages changed", async () => {
    const x = exchange({ target: "/a?x" });
    x.path = "/b";
    x.search = "?y";
    const out = await (await buildStage(redirect, { scheme: "https" }))(x);
    expect(out.headers.get("location")).toBe("https://localhost/a?x");
  });
});

describe("a redirect to the request's own URL", () => {
  const at = (authority: string, scheme: "http" | "https" = "http"): RequestInit => ({
    target: "/a//b?c=%20",
    init: { authority, scheme },
  });

  it("changes the scheme and drops the port", async () => {
    expect(await location({ scheme: "https" }, at("example.com:8080"))).toBe(
      "https://example.com/a//b?c=%20",
    );
    expect(await location({ scheme: "http" }, at("[::1]:8443", "https"))).toBe("http://[::1]/a//b?c=%20");
  });

  it("changes the host", async () => {
    expect(await location({ host: "www.example.com" }, at("example.com:80"))).toBe(
      "http://www.example.com/a//b?c=%20",
    );
  });

  it("changes the port, and writes it unless it is the scheme's own", async () => {
    expect(await location({ scheme: "https", port: 8443 }, at("a.example"))).toBe(
      "https://a.example:8443/a//b?c=%20",
    );
    expect(await location({ port: 443 }, at("a.example", "https"))).toBe("https://a.example/a//b?c=%20");
    expect(await location({ port: 443 }, at("a.example"))).toBe("http://a.example:443/a//b?c=%20");
  });

  it.each(["", "a@b.example", "a/b", "a b", "a\\b", "a:b:c"])("refuses the host %j", async (authority) => {
    await expect(run({ scheme: "https" }, at(authority))).rejects.toMatchObject({ code: "HOST_INVALID" });
  });
});

describe("a client", () => {
  const ORIGIN = "http://gateway.example";
  const hostile = fc.oneof(
    fc.constantFrom(
      "//evil.example",
      "/\\evil.example",
      "\\\\evil.example",
      "..//evil.example",
      "@evil.example",
    ),
    fc.string({ unit: "grapheme" }),
    fc.webUrl({ withQueryParameters: true, withFragments: true }),
  );

  it("cannot choose the host or add a header by a param", async () => {
    const handlers = await Promise.all(
      ["/{id}", "/{id}/x", "/a{id}", "/?{id}", "/#{id}"].map((to) => buildStage(redirect, { to })),
    );
    await fc.assert(
      fc.asyncProperty(hostile, async (id) => {
        for (const handler of handlers) {
          const value = (await handler(exchange({ params: { id } }))).headers.get("location")!;
          expect(new URL(value, ORIGIN).origin).toBe(ORIGIN);
          expect(value).toMatch(/^[!-~]+$/);
        }
      }),
    );
  });

  it("cannot choose the host by what a prefix left over or by its path", async () => {
    const rests = ["/evil.example", "//evil.example/x", "\\evil.example", "/\\evil.example"];
    for (const rest of rests) {
      const byPrefix = await location({ to: "/{*}" }, { params: { "*": rest } });
      expect(new URL(byPrefix!, ORIGIN).origin).toBe(ORIGIN);
      const target = `/${rest}`;
      for (const options of [{ to: "http://gateway.example{request.path}" }, { host: "gateway.example" }]) {
        expect(new URL((await location(options, { target }))!).origin).toBe(ORIGIN);
      }
    }
  });
});

describe("options that cannot work", () => {
  it.each([
    [{}, ""],
    [{ to: "/a", scheme: "https" }, "/scheme"],
    [{ to: "/a", host: "a.example" }, "/host"],
    [{ to: "/a", port: 1 }, "/port"],
    [{ to: "a" }, "/to"],
    [{ to: "//a.example" }, "/to"],
    [{ to: "{request.path}" }, "/to"],
    [{ to: "ftp://a.example" }, "/to"],
    [{ to: "javascript:alert(1)" }, "/to"],
    [{ to: "https:/a.example" }, "/to"],
    [{ to: "https://" }, "/to"],
    [{ to: "https://user@a.example/" }, "/to"],
    [{ to: "https://{tenant}/" }, "/to"],
    [{ to: "https://{tenant}.example.com/" }, "/to"],
    [{ to: "https://www.{tenant}.com/" }, "/to"],
    [{ to: "https://a.example{tenant}" }, "/to"],
    [{ to: "https://a.example{request.url}" }, "/to"],
    [{ to: "/a b" }, "/to"],
    [{ to: "/\\a" }, "/to"],
    [{ to: "/ä" }, "/to"],
    [{ to: "/a\r\nx: y" }, "/to"],
    [{ to: "/{unknown.thing}" }, "/to"],
  ])("refuses %j at %j", async (options, pointer) => {
    await expect(buildStage(redirect, options)).rejects.toMatchObject({
      name: "ConfigError",
      problems: [{ pointer }],
    });
  });

  it.each([
    { to: "" },
    { to: "/a", status: 200 },
    { to: "/a", status: 304 },
    { scheme: "ftp" },
    { host: "a.example:80" },
    { host: "a/b" },
    { port: 0 },
    { port: 65536 },
    { url: "/a" },
  ])("refuses %j", async (options) => {
    await expect(buildStage(redirect, options)).rejects.toThrow();
  });
});
