import { describe, expect, it } from "vitest";
import { GatewayError } from "../../core/errors.ts";
import type { Reply } from "../../core/reply.ts";
import { cors } from "../../plugins/cors.ts";
import { buildStage, exchange, type RequestInit, reply } from "../support/harness.ts";

const SITE = "https://app.example.com";
const SITE_ONLY = { origins: [SITE] };

type Headers = NonNullable<RequestInit["headers"]>;

async function send(options: object, request: RequestInit = {}, upstream: Headers = {}): Promise<Reply> {
  const handler = await buildStage(cors, { ...options }, () => reply(299, upstream));
  return handler(exchange(request));
}

function preflight(options: object, headers: Record<string, string> = {}): Promise<Reply> {
  const asked = { origin: SITE, "access-control-request-method": "PUT", ...headers };
  return send(options, { method: "OPTIONS", headers: asked });
}

const read = (options: object, origin = SITE, upstream: Headers = {}): Promise<Reply> =>
  send(options, { headers: { origin } }, upstream);

const accessControl = (out: Reply): Record<string, string> => {
  const found: Record<string, string> = {};
  for (let i = 0; i < out.headers.raw.length; i += 2) {
    const name = out.headers.raw[i]!.toLowerCase();
    if (!name.startsWith("access-control-")) continue;
    expect(found[name], `${name} twice`).toBeUndefined();
    found[name] = out.headers.raw[i + 1]!;
  }
  return found;
};

const allowsOrigin = async (origins: unknown, origin: string): Promise<boolean> => {
  const value = accessControl(await read({ origins }, origin))["access-control-allow-origin"];
  if (value !== undefined) expect(value).toBe(origin);
  return value !== undefined;
};

const pointerOf = async (options: object): Promise<string> => {
  const error = await buildStage(cors, { ...options }).then(
    () => undefined,
    (e) => e,
  );
  return error?.problems?.[0]?.pointer ?? `not refused by build: ${error}`;
};

describe("origins", () => {
  it("must be given", async () => {
    await expect(buildStage(cors)).rejects.toThrow("origins");
    await expect(buildStage(cors, { origins: [] })).rejects.toThrow("/origins");
  });

  it("allows exact ones only, as browsers write them", async () => {
    expect(await allowsOrigin([SITE], SITE)).toBe(true);
    for (const other of [
      "http://app.example.com",
      "https://app.example.com:8443",
      "https://example.com",
      "https://app.example.com.attacker.example",
      "https://app.example.com/",
      "null",
      "",
    ]) {
      expect(await allowsOrigin([SITE], other), other).toBe(false);
    }
    expect(await allowsOrigin(["HTTPS://App.Example.com:443"], SITE)).toBe(true);
    expect(await allowsOrigin(["https://bücher.example"], "https://xn--bcher-kva.example")).toBe(true);
    expect(await allowsOrigin(["http://[::1]:3000"], "http://[::1]:3000")).toBe(true);
    expect(await allowsOrigin(["capacitor://localhost"], "capacitor://localhost")).toBe(true);
  });

  it("allows names below a wildcard, however deep, but not the name itself", async () => {
    const origins = ["https://*.example.com"];
    expect(await allowsOrigin(origins, "https://a.example.com")).toBe(true);
    expect(await allowsOrigin(origins, "https://a-1.b_2.example.com")).toBe(true);
    for (const other of [
      "https://example.com",
      "https://.example.com",
      "https://aexample.com",
      "https://a.exampleXcom",
      "https://a.example.com:8443",
      "http://a.example.com",
      "https://attacker.example/.example.com",
      "https://attacker.example#.example.com",
    ]) {
      expect(await allowsOrigin(origins, other), other).toBe(false);
    }
    expect(await allowsOrigin(["https://*.example.com:8443"], "https://a.example.com:8443")).toBe(true);
  });

  it("allows any port where the port is a wildcard", async () => {
    for (const origin of ["http://localhost", "http://localhost:1", "http://localhost:65535"]) {
      expect(await allowsOrigin(["http://localhost:*"], origin)).toBe(true);
    }
    for (const origin of ["http://localhost:", "http://localhost:1a", "http://localhost.example"]) {
      expect(await allowsOrigin(["http://localhost:*"], origin)).toBe(false);
    }
    expect(await allowsOrigin(["http://*.test:*"], "http://a.test:5")).toBe(true);
  });

  it("allows what a regular expression matches as a whole", async () => {
    const origins = [{ regex: "https://(a|b)\\.example\\.com" }];
    expect(await allowsOrigin(origins, "https://b.example.com")).toBe(true);
    expect(await allowsOrigin(origins, "https://b.example.com.attacker.example")).toBe(false);
    expect(await allowsOrigin(origins, "x-https://b.example.com")).toBe(false);
    expect(await allowsOrigin([{ regex: "https://a|https://b" }], "https://bcd")).toBe(false);
  });

  it("allows null only where it is listed", async () => {
    expect(await allowsOrigin(["null"], "null")).toBe(true);
    expect(await allowsOrigin([{ regex: ".*" }], "null")).toBe(false);
    expect(await allowsOrigin([{ regex: ".*" }], SITE)).toBe(true);
  });

  it("refuses entries that could never match, with a suggestion where one is near", async () => {
    for (const entry of [
      "example.com",
      "https://",
      "https://a b",
      "https://u@a",
      "https://*",
      "https://a.*.b",
    ]) {
      expect(await pointerOf({ origins: [SITE, entry] }), entry).toBe("/origins/1");
    }
    expect(await pointerOf({ origins: ["https://a*.example.com"] })).toBe("/origins/0");
    expect(await pointerOf({ origins: ["https://%%%"] })).toBe("/origins/0");
    expect(await pointerOf({ origins: [{ regex: "(" }] })).toBe("/origins/0/regex");
    expect(await pointerOf({ origins: [{ regex: "a)|(b" }] })).toBe("/origins/0/regex");
    expect(await pointerOf({ origins: ["*", SITE] })).toBe("/origins");
    await expect(buildStage(cors, { origins: ["https://a.example/"] })).rejects.toMatchObject({
      problems: [{ suggestion: "https://a.example" }],
    });
  });

  it("gives everyone the same reply for *, so it does not vary", async () => {
    for (const origins of ["*", ["*"]]) {
      for (const request of [{ headers: { origin: SITE } }, {}]) {
        const out = await send({ origins }, request);
        expect(accessControl(out)).toEqual({ "access-control-allow-origin": "*" });
        expect(out.headers.has("vary")).toBe(false);
      }
    }
  });
});

describe("a reply to a request that is no preflight", () => {
  it("names the origin and varies by it", async () => {
    const out = await read(SITE_ONLY);
    expect(out.status).toBe(299);
    expect(accessControl(out)).toEqual({ "access-control-allow-origin": SITE });
    expect(out.headers.getJoined("vary")).toBe("Origin");
  });

  it("varies by the origin also when that is not allowed or absent", async () => {
    for (const request of [{ headers: { origin: "https://other.example" } }, {}]) {
      const out = await send(SITE_ONLY, request, { vary: "accept" });
      expect(out.status).toBe(299);
      expect(accessControl(out)).toEqual({});
      expect(out.headers.getJoined("vary")).toBe("accept, Origin");
    }
  });

  it("has no header of a preflight's answer", async () => {
    const out = await read({ ...SITE_ONLY, credentials: true, exposedHeaders: ["x-total"] });
    expect(Object.keys(accessControl(out)).sort()).toEqual([
      "access-control-allow-credentials",
      "access-control-allow-origin",
      "access-control-expose-headers",
    ]);
  });

  it("loses the upstream's own Access-Control headers", async () => {
    const upstream = [
      "Access-Control-Allow-Origin",
      "*",
      "access-control-allow-origin",
      "https://other.example",
      "Access-Control-Allow-Credentials",
      "true",
      "ACCESS-CONTROL-EXPOSE-HEADERS",
      "x-secret",
      "Vary",
      "Origin",
    ];
    const allowed = await read(SITE_ONLY, SITE, upstream);
    expect(accessControl(allowed)).toEqual({ "access-control-allow-origin": SITE });
    expect(allowed.headers.getJoined("vary")).toBe("Origin");
    expect(accessControl(await read(SITE_ONLY, "https://other.example", upstream))).toEqual({});
  });

  it("goes by the Origin that the client sent, whatever stages below change", async () => {
    const handler = await buildStage(cors, SITE_ONLY, (x) => {
      x.headers.delete("origin");
      return reply(200);
    });
    const out = await handler(exchange({ headers: { origin: SITE } }));
    expect(out.headers.get("access-control-allow-origin")).toBe(SITE);
  });

  it("has no permission when the request has two Origin fields", async () => {
    for (const origins of [[SITE], [{ regex: ".*" }]]) {
      expect(accessControl(await send({ origins }, { headers: ["origin", SITE, "Origin", SITE] }))).toEqual(
        {},
      );
    }
  });
});

describe("a preflight", () => {
  it("is answered with 204 and what is allowed, without asking the upstream", async () => {
    const out = await preflight(SITE_ONLY, { "access-control-request-headers": "x-a,content-type" });
    expect(out.status).toBe(204);
    expect(out.body).toBeNull();
    expect(out.headers.has("content-length")).toBe(false);
    expect(accessControl(out)).toEqual({
      "access-control-allow-origin": SITE,
      "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
      "access-control-allow-headers": "x-a,content-type",
      "access-control-max-age": "600",
    });
    expect(out.headers.getJoined("vary")).toBe(
      "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    );
  });

  it("of an origin that is not allowed gets 204 without permission, varying just the same", async () => {
    const out = await preflight(SITE_ONLY, { origin: "https://other.example" });
    expect(out.status).toBe(204);
    expect(accessControl(out)).toEqual({});
    expect(out.headers.getJoined("vary")).toContain("Origin, Access-Control-Request-Method");
  });

  it("with * does not vary by origin", async () => {
    const out = await preflight({ origins: "*" });
    expect(out.headers.get("access-control-allow-origin")).toBe("*");
    expect(out.headers.getJoined("vary")).toBe(
      "Access-Control-Request-Method, Access-Control-Request-Headers",
    );
  });

  it("is only OPTIONS with Origin and Access-Control-Request-Method; else the upstream is asked", async () => {
    const headers = { origin: SITE, "access-control-request-method": "PUT" };
    expect((await send(SITE_ONLY, { method: "OPTIONS", headers: { origin: SITE } })).status).toBe(299);
    const { origin: _, ...noOrigin } = headers;
    expect((await send(SITE_ONLY, { method: "OPTIONS", headers: noOrigin })).status).toBe(299);
    expect((await send(SITE_ONLY, { method: "POST", headers })).status).toBe(299);
    const plain = await send(SITE_ONLY, { method: "OPTIONS", headers: { origin: SITE } });
    expect(accessControl(plain)).toEqual({ "access-control-allow-origin": SITE });
  });

  it("is recognised by the client's own method", async () => {
    const handler = await buildStage(cors, SITE_ONLY, () => reply(299));
    const x = exchange({
      method: "OPTIONS",
      headers: { origin: SITE, "access-control-request-method": "PUT" },
    });
    x.method = "GET";
    expect((await handler(x)).status).toBe(204);
  });

  it("is announced to the router", () => {
    expect(cors.answersPreflight).toBe(true);
  });
});

describe("methods", () => {
  const allowed = async (methods: unknown, method = "PUT") =>
    (await preflight({ ...SITE_ONLY, methods }, { "access-control-request-method": method })).headers.get(
      "access-control-allow-methods",
    );

  it("are listed to the browser, whichever it asked for", async () => {
    expect(await allowed(["GET", "PURGE"], "DELETE")).toBe("GET, PURGE");
  });

  it("are what was asked for with *, so that it holds with credentials", async () => {
    expect(await allowed("*", "PURGE")).toBe("PURGE");
    expect(await allowed("*", "PURGE, x y")).toBeUndefined();
  });

  it("must be upper case, as browsers send them", async () => {
    await expect(buildStage(cors, { ...SITE_ONLY, methods: ["patch"] })).rejects.toThrow("/methods");
  });
});

describe("headers", () => {
  const allowed = async (options: object, asked?: string) =>
    (
      await preflight(
        { ...SITE_ONLY, ...options },
        asked === undefined ? {} : { "access-control-request-headers": asked },
      )
    ).headers.get("access-control-allow-headers");

  it("are listed to the browser", async () => {
    expect(await allowed({ headers: ["Authorization", "X-A"] }, "x-b")).toBe("Authorization, X-A");
    expect(await allowed({ headers: [] }, "x-b")).toBeUndefined();
  });

  it("are what was asked for with *, authorization included, and by default", async () => {
    expect(await allowed({ headers: "*" }, "authorization, x-b")).toBe("authorization, x-b");
    expect(await allowed({}, "authorization")).toBe("authorization");
    expect(await allowed({})).toBeUndefined();
    expect(await allowed({}, "x-b, not a name")).toBeUndefined();
  });

  it("are refused when they are no header names", async () => {
    expect(await pointerOf({ ...SITE_ONLY, headers: ["x-a", "x b"] })).toBe("/headers/1");
    expect(await pointerOf({ ...SITE_ONLY, headers: ["*"] })).toBe("/headers/0");
  });
});

describe("exposedHeaders", () => {
  it("are put on replies", async () => {
    const exposed = async (options: object) =>
      (await read({ ...SITE_ONLY, ...options })).headers.get("access-control-expose-headers");
    expect(await exposed({ exposedHeaders: ["x-total", "ETag"] })).toBe("x-total, ETag");
    expect(await exposed({ exposedHeaders: "*" })).toBe("*");
    expect(await exposed({})).toBeUndefined();
    expect(await pointerOf({ ...SITE_ONLY, exposedHeaders: ["a,b"] })).toBe("/exposedHeaders/0");
  });
});

describe("credentials", () => {
  it("are allowed on preflights and replies when true", async () => {
    const options = { ...SITE_ONLY, credentials: true };
    expect((await preflight(options)).headers.get("access-control-allow-credentials")).toBe("true");
    expect((await read(options)).headers.get("access-control-allow-credentials")).toBe("true");
    expect((await preflight(SITE_ONLY)).headers.has("access-control-allow-credentials")).toBe(false);
    const other = await read(options, "https://other.example");
    expect(other.headers.has("access-control-allow-credentials")).toBe(false);
  });

  it("are refused with *, which browsers would not take", async () => {
    for (const origins of ["*", ["*"]])
      expect(await pointerOf({ origins, credentials: true })).toBe("/origins");
    expect(await pointerOf({ ...SITE_ONLY, credentials: true, exposedHeaders: "*" })).toBe("/exposedHeaders");
    await buildStage(cors, { ...SITE_ONLY, credentials: true, methods: "*", headers: "*" });
  });
});

it("maxAge is in seconds, rounded down", async () => {
  const sent = async (maxAge: string) =>
    (await preflight({ ...SITE_ONLY, maxAge })).headers.get("access-control-max-age");
  expect(await sent("2h")).toBe("7200");
  expect(await sent("0s")).toBe("0");
  expect(await sent("1500ms")).toBe("1");
});

it("privateNetwork is allowed when asked for and true", async () => {
  const asked = { "access-control-request-private-network": "true" };
  const name = "access-control-allow-private-network";
  const allowed = await preflight({ ...SITE_ONLY, privateNetwork: true }, asked);
  expect(allowed.headers.get(name)).toBe("true");
  expect(allowed.headers.getJoined("vary")).toContain("Access-Control-Request-Private-Network");
  expect((await preflight({ ...SITE_ONLY, privateNetwork: true })).headers.has(name)).toBe(false);
  expect((await preflight(SITE_ONLY, asked)).headers.has(name)).toBe(false);
});

it("failures of the stages below can be read by the page too", async () => {
  const failure = new GatewayError("UPSTREAM_TIMEOUT");
  const handler = await buildStage(cors, SITE_ONLY, () => Promise.reject(failure));
  const x = exchange({ headers: { origin: SITE } });
  for (let attempt = 0; attempt < 2; attempt++) {
    await expect(Promise.resolve(handler(x))).rejects.toBe(failure);
    expect(x.failureHeaders?.getAll("access-control-allow-origin")).toEqual([SITE]);
    expect(x.failureHeaders?.getAll("vary")).toEqual(["Origin"]);
  }
});
