import fc from "fast-check";
import { expect, it } from "vitest";
import { HeaderList } from "../../../core/plugin.ts";
import { Jar, type Taken } from "../../../plugins/oidc-login/jar.ts";

const jar = new Jar({ name: "s", secure: "auto" });
const NONE = jar.take(new HeaderList());
const STATE = "abcdefghijklmnopqrstuv";

const take = (...cookies: string[]): Taken & { left: string | undefined } => {
  const headers = new HeaderList(cookies.flatMap((each) => ["cookie", each]));
  return { ...jar.take(headers), left: headers.getJoined("cookie") };
};

const pairOf = (line: string): string => line.split(";")[0]!;

it("gives back what it was given, whatever is around it, up to three cookies that browsers take", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12_000 }), (length) => {
      const sealed = "x".repeat(length);
      const lines = jar.setSession(sealed, NONE, true);
      expect(lines === undefined).toBe(length > 10_800);
      if (lines === undefined) return;
      expect(lines.every((line) => line.length <= 4096)).toBe(true);
      const taken = take(["a=b", ...lines.map(pairOf).reverse(), "c=d"].join("; "));
      expect([taken.session, taken.left]).toEqual([sealed, "a=b; c=d"]);
    }),
    { numRuns: 30 },
  );
});

it("takes all that begins with its name and a dot, and nothing else", () => {
  const taken = take(`t=1; s=a; s.1=b;s.2=c; s.3=d; s.x=e`, `s.login-${STATE}=f; s.login-x=g; ss=h; s-1=i`);
  expect(taken).toMatchObject({ session: "abc", chunks: ["s", "s.1", "s.2"], left: "t=1, ss=h; s-1=i" });
  expect([...taken.logins]).toEqual([[STATE, "f"]]);
});

it.each([
  ["a part is missing in front", "s.1=b"],
  ["one is there twice", "s=a; s=a"],
  ["a part is there twice", "s=a; s.1=b; s.1=c"],
  ["they are empty", "s=; s.1="],
  ["they are too large", `s=${"x".repeat(10_801)}`],
])("has no session when %s", (_, cookie) => {
  expect(take(cookie).session).toBeUndefined();
});

it("removes what a smaller session leaves over, and all when there is none", () => {
  const taken = take("s=a; s.1=b; s.2=c");
  const [own, ...others] = jar.setSession("x", taken, false)!;
  expect(own).toBe("s=x; Path=/; HttpOnly; SameSite=Lax");
  expect(others.map(pairOf)).toEqual(["s.1=", "s.2="]);
  expect(others[0]).toBe("s.1=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax");
  expect(jar.removeSession(taken, true).map(pairOf)).toEqual(["s=", "s.1=", "s.2="]);
});

it("gives up logins that were begun before when there are too many", () => {
  const cookies = Array.from({ length: 5 }, (_, i) => `s.login-${STATE.slice(1)}${i}=x`);
  const taken = take(cookies.join("; "));
  expect(jar.setLogin(STATE, "y", taken, true).map(pairOf)).toEqual([
    `s.login-${STATE}=y`,
    ...cookies.map((each) => each.slice(0, -1)),
  ]);
});
