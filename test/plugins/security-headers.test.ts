import { describe, expect, it } from "vitest";
import { GatewayError } from "../../core/errors.ts";
import { securityHeaders } from "../../plugins/security-headers.ts";
import { buildStage, exchange, type RequestInit, reply } from "../support/harness.ts";

type Sent = Record<string, string>;

async function send(
  options: object = {},
  upstream: RequestInit["headers"] = {},
  scheme: "http" | "https" = "https",
) {
  const handler = await buildStage(securityHeaders, { ...options }, () => reply(200, upstream));
  const out = await handler(exchange({ init: { scheme } }));
  const sent: Sent = {};
  for (let i = 0; i < out.headers.raw.length; i += 2) {
    const name = out.headers.raw[i]!.toLowerCase();
    expect(sent[name], `${name} twice`).toBeUndefined();
    sent[name] = out.headers.raw[i + 1]!;
  }
  return sent;
}

const refused = (options: object) => buildStage(securityHeaders, { ...options });
const pointerOf = async (options: object): Promise<string> => {
  const error = await refused(options).then(
    () => undefined,
    (e) => e,
  );
  return error?.problems?.[0]?.pointer ?? `not refused by build: ${error}`;
};

describe("without options", () => {
  it("sends a careful set over https", async () => {
    expect(await send()).toEqual({
      "content-security-policy":
        "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
      "x-frame-options": "DENY",
      "x-content-type-options": "nosniff",
      "referrer-policy": "strict-origin-when-cross-origin",
      "permissions-policy": "camera=(), geolocation=(), microphone=()",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-resource-policy": "same-origin",
      "x-xss-protection": "0",
      "strict-transport-security": "max-age=31536000; includeSubDomains",
    });
  });

  it("removes headers that name the upstream's software, and no others", async () => {
    const sent = await send({}, { Server: "x", "X-Powered-By": "y", "X-AspNet-Version": "4", etag: '"1"' });
    expect(sent["server"]).toBeUndefined();
    expect(sent["x-powered-by"]).toBeUndefined();
    expect(sent["x-aspnet-version"]).toBeUndefined();
    expect(sent["etag"]).toBe('"1"');
  });
});

describe("each header", () => {
  const off = [
    ["contentSecurityPolicy", "content-security-policy"],
    ["strictTransportSecurity", "strict-transport-security"],
    ["frameOptions", "x-frame-options"],
    ["contentTypeOptions", "x-content-type-options"],
    ["referrerPolicy", "referrer-policy"],
    ["permissionsPolicy", "permissions-policy"],
    ["crossOriginOpenerPolicy", "cross-origin-opener-policy"],
    ["crossOriginResourcePolicy", "cross-origin-resource-policy"],
    ["xssProtection", "x-xss-protection"],
  ] as const;

  it.each(off)("is not sent when %s is false", async (option, header) => {
    expect((await send())[header]).toBeDefined();
    const sent = await send({ [option]: false });
    expect(sent[header]).toBeUndefined();
    expect(Object.keys(sent)).toHaveLength(off.length - 1);
  });

  it.each([
    ["frameOptions", "SAMEORIGIN", "x-frame-options"],
    ["referrerPolicy", "no-referrer", "referrer-policy"],
    ["permissionsPolicy", "usb=()", "permissions-policy"],
    ["crossOriginOpenerPolicy", "same-origin-allow-popups", "cross-origin-opener-policy"],
    ["crossOriginEmbedderPolicy", "require-corp", "cross-origin-embedder-policy"],
    ["crossOriginResourcePolicy", "cross-origin", "cross-origin-resource-policy"],
    ["xssProtection", "1; mode=block", "x-xss-protection"],
    ["contentSecurityPolicy", "default-src 'none'", "content-security-policy"],
  ])("is what %s says", async (option, value, header) => {
    expect((await send({ [option]: value }))[header]).toBe(value);
  });

  it("is refused when its option has an unknown value", async () => {
    for (const options of [
      { frameOptions: "ALLOW-FROM https://a.example" },
      { frameOptions: true },
      { referrerPolicy: "none" },
      { crossOriginOpenerPolicy: "same-site" },
      { crossOriginEmbedderPolicy: "same-origin" },
      { crossOriginResourcePolicy: "none" },
      { xssProtection: "1" },
      { strictTransportSecurity: true },
      { strictTransportSecurity: { maxAge: "31536000" } },
      { contentSecurityPolicy: true },
      { contentSecurityPolicy: {} },
      { permissionsPolicy: {} },
      { unknown: 1 },
    ]) {
      await expect(refused(options), JSON.stringify(options)).rejects.toThrow();
    }
  });
});

describe("contentSecurityPolicy", () => {
  it("is written from directives, in their order", async () => {
    const contentSecurityPolicy = {
      "default-src": "'self'",
      "img-src": ["'self'", "https://cdn.example.com", "data:"],
      "upgrade-insecure-requests": true,
      sandbox: [],
    };
    expect((await send({ contentSecurityPolicy }))["content-security-policy"]).toBe(
      "default-src 'self'; img-src 'self' https://cdn.example.com data:; upgrade-insecure-requests; sandbox",
    );
  });

  it("may be written over several lines", async () => {
    const sent = await send({ contentSecurityPolicy: "default-src 'self';\n  img-src data:\n" });
    expect(sent["content-security-policy"]).toBe("default-src 'self'; img-src data:");
  });

  it("goes to the report-only header when reportOnly is set", async () => {
    const sent = await send({ contentSecurityPolicy: "default-src 'none'", reportOnly: true });
    expect(sent["content-security-policy-report-only"]).toBe("default-src 'none'");
    expect(sent["content-security-policy"]).toBeUndefined();
  });

  it("refuses keywords without quotes, in texts and in directives", async () => {
    expect(await pointerOf({ contentSecurityPolicy: "default-src self" })).toBe("/contentSecurityPolicy");
    expect(await pointerOf({ contentSecurityPolicy: "img-src data:; Script-Src nonce-abc" })).toBe(
      "/contentSecurityPolicy",
    );
    expect(await pointerOf({ contentSecurityPolicy: { "script-src-elem": ["unsafe-inline"] } })).toBe(
      "/contentSecurityPolicy/script-src-elem",
    );
    await refused({ contentSecurityPolicy: "report-to none; default-src https://self.example" });
  });

  it("refuses names and values that would change the policy's structure", async () => {
    for (const [name, value] of [
      ["default src", "'self'"],
      ["default-src;", "'self'"],
      ["default-src", "'self'; script-src *"],
      ["default-src", "'self', script-src"],
      ["default-src", " "],
      ["default-src", "\u0000"],
      ["default-src", "https://exämple✓"],
    ] as const) {
      expect(await pointerOf({ contentSecurityPolicy: { [name]: value } })).toBe(
        `/contentSecurityPolicy/${name}`,
      );
    }
    expect(await pointerOf({ contentSecurityPolicy: "default-src ✓" })).toBe("/contentSecurityPolicy");
  });
});

describe("strictTransportSecurity", () => {
  const hsts = async (options: object, scheme: "http" | "https" = "https") =>
    (await send({ strictTransportSecurity: options }, {}, scheme))["strict-transport-security"];

  it("is not sent over http unless forced", async () => {
    expect(await hsts({}, "http")).toBeUndefined();
    expect(await hsts({ force: true }, "http")).toBe("max-age=31536000; includeSubDomains");
    expect(await hsts({ force: true }, "https")).toBe("max-age=31536000; includeSubDomains");
  });

  it("is written from its options", async () => {
    expect(await hsts({ maxAge: "1h" })).toBe("max-age=3600; includeSubDomains");
    expect(await hsts({ maxAge: "0s", includeSubDomains: false })).toBe("max-age=0");
    expect(await hsts({ maxAge: "730d", preload: true })).toBe(
      "max-age=63072000; includeSubDomains; preload",
    );
  });

  it("refuses preload with what preload lists do not take", async () => {
    for (const options of [
      { preload: true, maxAge: "364d" },
      { preload: true, includeSubDomains: false },
    ]) {
      expect(await pointerOf({ strictTransportSecurity: options })).toBe("/strictTransportSecurity/preload");
    }
  });
});

describe("permissionsPolicy", () => {
  it("is written from allow lists by feature", async () => {
    const permissionsPolicy = {
      camera: [],
      fullscreen: "*",
      geolocation: ["self", "https://maps.example.com", "https://*.example.org:8443"],
    };
    expect((await send({ permissionsPolicy }))["permissions-policy"]).toBe(
      'camera=(), fullscreen=*, geolocation=(self "https://maps.example.com" "https://*.example.org:8443")',
    );
  });

  it("refuses what is neither a feature nor an origin", async () => {
    expect(await pointerOf({ permissionsPolicy: { "cam era": [] } })).toBe("/permissionsPolicy/cam era");
    for (const item of ["'self'", "example.com", 'https://a" "https://b', "none"]) {
      expect(await pointerOf({ permissionsPolicy: { usb: ["self", item] } })).toBe(
        "/permissionsPolicy/usb/1",
      );
    }
  });
});

it("referrerPolicy may be a list of fallbacks", async () => {
  const sent = await send({ referrerPolicy: ["no-referrer", "strict-origin"] });
  expect(sent["referrer-policy"]).toBe("no-referrer, strict-origin");
});

describe("override", () => {
  const upstream = { "X-Frame-Options": "SAMEORIGIN", "Strict-Transport-Security": "max-age=5" };

  it("lets the upstream's own headers win by default", async () => {
    const sent = await send({}, upstream);
    expect(sent["x-frame-options"]).toBe("SAMEORIGIN");
    expect(sent["strict-transport-security"]).toBe("max-age=5");
    expect(sent["x-content-type-options"]).toBe("nosniff");
  });

  it("replaces them when true, however often they came", async () => {
    const twice = [
      "X-Frame-Options",
      "SAMEORIGIN",
      "x-frame-options",
      "DENY",
      "Referrer-Policy",
      "unsafe-url",
    ];
    const sent = await send({ override: true, frameOptions: "DENY" }, twice);
    expect(sent["x-frame-options"]).toBe("DENY");
    expect(sent["referrer-policy"]).toBe("strict-origin-when-cross-origin");
  });
});

describe("remove", () => {
  it("is the list of headers to remove, in any case, and replaces the default list", async () => {
    const sent = await send({ remove: ["X-Version"] }, { "x-version": "1", server: "kept" });
    expect(sent["x-version"]).toBeUndefined();
    expect(sent["server"]).toBe("kept");
    expect((await send({ remove: [] }, { "x-powered-by": "kept" }))["x-powered-by"]).toBe("kept");
  });

  it("refuses what is not a header name", async () => {
    expect(await pointerOf({ remove: ["server", "x y"] })).toBe("/remove/1");
  });
});

it("is on the reply of a failure too, once, even if a stage above tries again", async () => {
  const failure = new GatewayError("UPSTREAM_CONNECT_FAILED");
  const handler = await buildStage(securityHeaders, {}, () => Promise.reject(failure));
  const x = exchange({ init: { scheme: "https" } });
  for (let attempt = 0; attempt < 2; attempt++) {
    await expect(Promise.resolve(handler(x))).rejects.toBe(failure);
    expect(x.failureHeaders?.getAll("x-content-type-options")).toEqual(["nosniff"]);
    expect(x.failureHeaders?.raw).toHaveLength(18);
  }
});
