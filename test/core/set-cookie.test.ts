import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createValidator } from "../../core/config/validate.ts";
import { ConfigError, type Problem } from "../../core/errors.ts";
import {
  compileSetCookie,
  type SetCookieFormat,
  type SetCookieOptions,
  setCookieProperties,
} from "../../core/set-cookie.ts";

const check = createValidator({
  type: "object",
  properties: setCookieProperties,
  additionalProperties: false,
});

/** Compiles options as a plugin would: checked, with defaults. */
function compile(options: object, name = "at"): SetCookieFormat {
  const checked = { ...options };
  expect(check(checked)).toEqual([]);
  return compileSetCookie(name, checked as SetCookieOptions, "/here", "called");
}

function problemsOf(options: object, name?: string): readonly Problem[] {
  try {
    compile(options, name);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return expect.unreachable("it was compiled");
}

describe("a cookie that the gateway sets", () => {
  it("is for the whole host, hidden from scripts and lax by default", () => {
    expect(compile({})).toEqual({
      name: "at",
      attributes: "; Path=/; HttpOnly; SameSite=Lax",
      secureAttributes: "; Path=/; Secure; HttpOnly; SameSite=Lax",
    });
  });

  it.each([
    [{ maxAge: "1h" }, "; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"],
    [{ path: "/shop/a%20b" }, "; Path=/shop/a%20b; HttpOnly; SameSite=Lax"],
    [{ domain: "shop.example.com" }, "; Path=/; Domain=shop.example.com; HttpOnly; SameSite=Lax"],
    [{ domain: ".example.com" }, "; Path=/; Domain=example.com; HttpOnly; SameSite=Lax"],
    [{ secure: true }, "; Path=/; Secure; HttpOnly; SameSite=Lax"],
    [{ httpOnly: false }, "; Path=/; SameSite=Lax"],
    [{ sameSite: "strict" }, "; Path=/; HttpOnly; SameSite=Strict"],
    [{ sameSite: "none" }, "; Path=/; Secure; HttpOnly; SameSite=None"],
  ])("has the attributes of %j", (options, attributes) => {
    expect(compile(options).attributes).toBe(attributes);
  });

  it.each([
    ["1s", 1],
    ["1000ms", 1],
    ["1999ms", 1],
    ["2.5s", 2],
    ["7d", 604_800],
  ])("is never kept longer than %s", (maxAge, seconds) => {
    expect(compile({ maxAge }).attributes).toContain(`; Max-Age=${seconds};`);
  });

  it("is not secure where the options say so", () => {
    expect(compile({ secure: false }).secureAttributes).toBe("; Path=/; HttpOnly; SameSite=Lax");
  });

  it.each(["__Host-at", "__Secure-at", "__Http-at", "__Host-Http-at", "__host-at", "__SECURE-at"])(
    "is always secure with the name %s",
    (name) => {
      for (const options of [{}, { secure: true }]) {
        const { attributes, secureAttributes } = compile(options, name);
        expect(attributes).toBe("; Path=/; Secure; HttpOnly; SameSite=Lax");
        expect(secureAttributes).toBe(attributes);
      }
    },
  );

  it("may have a name that only looks like one with rules", () => {
    for (const name of ["_Host-at", "__Hostat", "a__Host-", "__Other-at"]) {
      expect(compile({ path: "/a", secure: false, httpOnly: false }, name).name).toBe(name);
    }
  });
});

describe("what browsers would refuse", () => {
  it.each([
    [{}, "a b", "called", '"a b" is not a cookie name'],
    [{}, "a;b=c", "called", "is not a cookie name"],
    [{}, "a=b", "called", "is not a cookie name"],
    [{}, "a\r\nx: y", "called", "is not a cookie name"],
    [{}, "", "called", "is not a cookie name"],
    [{ path: "shop" }, "at", "path", "starts with /"],
    [{ path: "" }, "at", "path", "starts with /"],
    [{ path: "/; Domain=evil" }, "at", "path", "no ;"],
    [{ path: "/a b" }, "at", "path", "no space"],
    [{ path: "/\n" }, "at", "path", "no ;"],
    [{ path: "/é" }, "at", "path", "starts with /"],
    [{ domain: "a_b; x" }, "at", "domain", '"a_b; x" is not a domain'],
    [{ domain: "a..b" }, "at", "domain", "is not a domain"],
    [{ domain: "a.b." }, "at", "domain", "is not a domain"],
    [{ domain: "-a.b" }, "at", "domain", "is not a domain"],
    [{ domain: "https://a.b" }, "at", "domain", "is not a domain"],
    [{ domain: "a.b\n" }, "at", "domain", "is not a domain"],
    [{ maxAge: "999ms" }, "at", "maxAge", "at least 1s"],
    [{ maxAge: "0s" }, "at", "maxAge", "at least 1s"],
    [{ sameSite: "none", secure: false }, "at", "secure", "`sameSite: none`"],
    [{ secure: false }, "__Secure-a", "secure", "__Secure-a"],
    [{ secure: false }, "__host-a", "secure", "__host-a"],
    [{ secure: false }, "__Http-a", "secure", "__Http-a"],
    [{ path: "/a" }, "__Host-a", "path", "__Host-"],
    [{ domain: "a.b" }, "__Host-a", "domain", "__Host-"],
    [{ path: "/a" }, "__Host-Http-a", "path", "__Host-"],
    [{ httpOnly: false }, "__Http-a", "httpOnly", "__Http-a"],
    [{ httpOnly: false }, "__Host-Http-a", "httpOnly", "__Host-Http-a"],
  ])("is refused: %j with the name %j", (options, name, option, message) => {
    expect(problemsOf(options, name)).toEqual([
      {
        code: "CONFIG_OPTION_INVALID",
        message: expect.stringContaining(message),
        pointer: `/here/${option}`,
      },
    ]);
  });

  it("is told all at once", () => {
    const pointers = (options: object, name: string) =>
      problemsOf(options, name).map(({ pointer }) => pointer.slice("/here/".length));
    expect(
      pointers({ path: "x", domain: "a b", maxAge: "1ms", sameSite: "none", secure: false }, "a b"),
    ).toEqual(["called", "path", "domain", "maxAge", "secure"]);
    expect(pointers({ path: "/x", domain: "a.b", secure: false, httpOnly: false }, "__Host-Http-a")).toEqual([
      "path",
      "domain",
      "secure",
      "httpOnly",
    ]);
  });

  it.each([
    { maxAge: "long" },
    { path: 1 },
    { domain: "" },
    { secure: "yes" },
    { httpOnly: "no" },
    { sameSite: "Lax" },
    { httponly: true },
  ])("is no option at all: %j", (options) => {
    expect(check({ ...options })).not.toEqual([]);
  });

  it("is never written: what is accepted is one field value with the attributes that were meant", () => {
    const options = fc.record(
      {
        path: fc.oneof(fc.string(), fc.webPath()),
        domain: fc.oneof(fc.string({ minLength: 1 }), fc.domain()),
        secure: fc.constantFrom("auto", true, false),
        httpOnly: fc.boolean(),
        sameSite: fc.constantFrom("strict", "lax", "none"),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.constantFrom("at", "__Host-at")), options, (name, given) => {
        let format: SetCookieFormat;
        try {
          format = compile(given, name);
        } catch (error) {
          return error instanceof ConfigError;
        }
        for (const attributes of [format.attributes, format.secureAttributes]) {
          const [pair, ...parts] = `${format.name}=value${attributes}`.split("; ");
          expect(pair).toBe(`${name}=value`);
          expect(parts).toEqual([
            `Path=${given.path ?? "/"}`,
            ...(given.domain === undefined ? [] : [`Domain=${given.domain.replace(/^\./, "")}`]),
            ...(parts.includes("Secure") ? ["Secure"] : []),
            ...((given.httpOnly ?? true) ? ["HttpOnly"] : []),
            expect.stringMatching(/^SameSite=(Strict|Lax|None)$/),
          ]);
          expect(attributes).toMatch(/^[!-~ ]+$/);
        }
        return true;
      }),
    );
  });
});
