import { describe, expect, it } from "vitest";
import { type Asking, askedWith, at, judge, storedAs, verdict } from "../../support/cache-replies.ts";

/** Header lines, what is expected (seconds of freshness, or why not), and how it was asked for. */
type Row = [lines: string[], expected: number | string, asking?: Asking];

function rows(table: Row[]): void {
  for (const [lines, expected, asking] of table) {
    expect(verdict(lines, asking), JSON.stringify([lines, asking?.status])).toBe(expected);
  }
}

const LM = `Last-Modified: ${at(-100_000)}`;
const FRESH = "Cache-Control: max-age=60";

describe("the freshness lifetime of a reply", () => {
  it("is s-maxage before max-age before Expires before a tenth of its age", () => {
    rows([
      [["Cache-Control: max-age=60, s-maxage=30", `Expires: ${at(90)}`, LM], 30],
      [["Cache-Control: max-age=60", `Expires: ${at(90)}`, LM], 60],
      [[`Expires: ${at(90)}`, LM], 90],
      [[LM], 10_000],
      [[`Last-Modified: ${at(-30 * 86_400)}`], 86_400],
      [[`Last-Modified: ${at(100)}`], 0],
      [['ETag: "a"'], 0],
    ]);
  });

  it("counts from Date, and Age takes from it", () => {
    rows([
      [[`Date: ${at(-20)}`, FRESH], 40],
      [[`Date: ${at(50)}`, FRESH], 60],
      [[`Date: ${at(0)}`, FRESH, "Age: 10"], 50],
      [[`Date: ${at(-20)}`, FRESH, "Age: 10"], 40],
      [[`Date: ${at(10)}`, `Expires: ${at(20)}`], 10],
      [[FRESH, "Age: 10"], 48, { tookMs: 2000 }],
      [["Date: yesterday", `Expires: ${at(10)}`], 10],
    ]);
  });

  it("is nothing when it, or the age, is said in a way that cannot be read", () => {
    const etag = 'ETag: "a"';
    for (const value of ["abc", "-1", "1.5", "'60'", "", " 60", "60s"]) {
      expect(verdict([`Cache-Control: max-age=${value}`, etag]), value).toBe(0);
      expect(verdict([`Cache-Control: s-maxage=${value}, max-age=60`, etag]), value).toBe(0);
    }
    expect(verdict(["Cache-Control: max-age =60", etag])).toBe(0);
    expect(verdict(["Cache-Control: max-age", etag])).toBe(0);
    for (const value of ["0", "-1", "tomorrow", at(60).replace("GMT", "UTC")]) {
      expect(verdict([`Expires: ${value}`, etag]), value).toBe(0);
    }
    for (const value of ["abc", "-1", "1.5", "0, 0", "1;a=b"]) {
      expect(verdict([FRESH, `Age: ${value}`, etag]), value).toBe(0);
      expect(verdict([LM, `Age: ${value}`, etag]), value).toBe(0);
    }
    expect(verdict([FRESH, "Age: 0", "Age: 0", etag])).toBe(0);
  });

  it("is read in whatever way it may be written", () => {
    for (const value of [
      'max-age="60"',
      "MAX-age=060",
      "a, max-age=60",
      'x="max-age=1", max-age=60',
      ",, max-age=60,",
    ]) {
      expect(verdict([`Cache-Control: ${value}`]), value).toBe(60);
    }
    expect(verdict(["Cache-Control: max-age=99999999999"])).toBe(2 ** 31);
  });

  it("is the first that is said", () => {
    rows([
      [["Cache-Control: max-age=60, max-age=1"], 60],
      [["Cache-Control: max-age=60", "Cache-Control: max-age=1"], 60],
      [[`Expires: ${at(60)}`, `Expires: ${at(1)}`], 60],
    ]);
  });

  it("is told by heuristics only for statuses that allow it, or when the reply is public", () => {
    for (const status of [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]) {
      expect(verdict([LM], { status }), String(status)).toBe(10_000);
    }
    for (const status of [201, 202, 302, 307, 400, 403, 500, 502, 503, 504, 599]) {
      expect(verdict([LM], { status }), String(status)).toBe("no-freshness");
      expect(verdict([LM, "Cache-Control: public"], { status }), String(status)).toBe(10_000);
      expect(verdict([FRESH], { status }), String(status)).toBe(60);
    }
  });

  it("is an option's when the reply says nothing, and counts from when it came", () => {
    const rules = { ttlMs: 5000, statusTtlMs: new Map([[404, 2000]]) };
    rows([
      [[], 5, { rules }],
      [[LM], 5, { rules }],
      [["Age: 1000"], 5, { rules }],
      [[FRESH], 60, { rules }],
      [["Cache-Control: no-store"], "no-store", { rules }],
      [[], 2, { rules, status: 404 }],
      [[FRESH], 60, { rules, status: 404 }],
      [[], "not-reusable", { rules, status: 410 }],
      [[], "no-freshness", { rules, status: 500 }],
      [[], "not-reusable", { rules: { ttlMs: 0 } }],
    ]);
  });

  it("is an option's whatever the reply says, when that is wanted", () => {
    const rules = { ttlMs: 5000, ignoreCacheControl: true };
    rows([
      [["Cache-Control: no-store"], 5, { rules }],
      [["Cache-Control: private, max-age=1", "Sluice-Cache-Control: no-store"], 5, { rules }],
      [[`Expires: ${at(-100)}`], 5, { rules }],
      [[], "authorization", { rules, asked: askedWith(["Authorization: x"]) }],
      [["Cache-Control: public", "Set-Cookie: a=b"], "set-cookie", { rules }],
    ]);
  });
});

describe("targeted fields", () => {
  it("come before Cache-Control and Expires, the more particular first", () => {
    rows([
      [["Cache-Control: no-store", "CDN-Cache-Control: max-age=60"], 60],
      [["CDN-Cache-Control: max-age=60", "Sluice-Cache-Control: max-age=30"], 30],
      [["Cache-Control: max-age=60", "CDN-Cache-Control: no-store"], "no-store"],
      [["CDN-Cache-Control: public", `Expires: ${at(60)}`, 'ETag: "a"'], 0],
      [["CDN-Cache-Control: max-age=60;x=1"], 60],
      [["CDN-Cache-Control: max-age=60, no-store=?0"], 60],
      [["CDN-Cache-Control: max-age=1, max-age=60"], 60],
    ]);
  });

  it("do not count when they are empty or malformed", () => {
    rows([
      [["Cache-Control: max-age=60", "CDN-Cache-Control:"], 60],
      [["Cache-Control: max-age=60", "CDN-Cache-Control: No-Store"], 60],
      [["Cache-Control: max-age=60", "CDN-Cache-Control: max-age=1,"], 60],
      [["CDN-Cache-Control: max-age=60", "Sluice-Cache-Control: &"], 60],
    ]);
  });
});

describe("Surrogate-Control", () => {
  it("comes before Cache-Control and Expires, and behind the targeted fields", () => {
    rows([
      [["Cache-Control: no-store", 'Surrogate-Control: content="ESI/1.0", MAX-age=60'], 60],
      [["Cache-Control: max-age=60", "Surrogate-Control: no-store"], "no-store"],
      [["CDN-Cache-Control: max-age=60", "Surrogate-Control: no-store"], 60],
    ]);
  });

  it("counts only as far as it is meant for this cache, and understood", () => {
    rows([
      [[FRESH, "Surrogate-Control: max-age=30;sluice, no-store;other"], 30],
      [[FRESH, "Surrogate-Control: no-store;other"], 60],
      [[FRESH, "Surrogate-Control: foo"], 60],
      [[FRESH, "Surrogate-Control: "], 60],
    ]);
  });
});

describe("a reply is not stored", () => {
  it("when it or its request forbids that", () => {
    rows([
      [["Cache-Control: no-store, max-age=60"], "no-store"],
      [["Cache-Control: NO-STORE=1, max-age=60"], "no-store"],
      [["Cache-Control: private, max-age=60"], "private"],
      [['Cache-Control: private="", max-age=60'], "private"],
      [['Cache-Control: x="1, no-store, max-age=60'], "no-store"],
      [[FRESH], "request-no-store", { asked: askedWith(["Cache-Control: no-store"]) }],
    ]);
  });

  it("when it must be understood and is not", () => {
    rows([
      [["Cache-Control: max-age=60, must-understand"], "status", { status: 599 }],
      [["Cache-Control: max-age=60, must-understand, no-store"], 60],
      [[FRESH], "status", { status: 304 }],
    ]);
  });

  it("when it is for one client, unless it says that it is for all (RFC 9111 section 3.5)", () => {
    const asked = askedWith(["Authorization: Basic x"]);
    rows([
      [[FRESH], "authorization", { asked }],
      [["Cache-Control: max-age=60, public"], 60, { asked }],
      [["Cache-Control: s-maxage=60"], 60, { asked }],
      [["Cache-Control: max-age=60, must-revalidate"], 60, { asked }],
      [["Cache-Control: max-age=60, proxy-revalidate"], "authorization", { asked }],
      [["Cache-Control: public", "CDN-Cache-Control: max-age=60"], "authorization", { asked }],
    ]);
  });

  it("when it sets a cookie and does not say how long it is fresh", () => {
    rows([
      [[LM, "Set-Cookie: a=b"], "set-cookie"],
      [["Set-Cookie: a=b"], "set-cookie", { rules: { ttlMs: 1000 } }],
      [["Set-Cookie: a=b", FRESH], 60],
    ]);
  });

  it("when nobody can know which requests it is for", () => {
    for (const vary of ["*", "a, *", "a b", "a, (b)"])
      expect(verdict([FRESH, `Vary: ${vary}`]), vary).toBe("vary");
    expect(verdict([FRESH, "Vary: a", "Vary: *"])).toBe("vary");
  });

  it("when it is of no use: stale, and nothing to validate it by", () => {
    rows([
      [[], "not-reusable"],
      [["Cache-Control: max-age=0"], "not-reusable"],
      [["Cache-Control: max-age=60, no-cache"], "not-reusable"],
      [["Cache-Control: max-age=60, no-cache", 'ETag: "a"'], 60],
      [["Cache-Control: max-age=0", LM], 0],
      [["Cache-Control: max-age=0, stale-if-error=60"], 0],
    ]);
  });

  it("when it is a part that contradicts itself", () => {
    const status = 206;
    rows([
      [[FRESH, "Content-Range: bytes 0-4/10", "Content-Length: 5"], 60, { status }],
      [[FRESH, "Content-Range: bytes 0-4/10", "Content-Length: 6"], "part", { status }],
      [[FRESH, "Content-Range: bytes 4-10/10"], "part", { status }],
      [[FRESH, "Content-Range: bytes 5-4/10"], "part", { status }],
      [[FRESH, "Content-Range: bytes 0-4/*"], "part", { status }],
      [[FRESH, "Content-Type: multipart/byteranges; boundary=a"], "part", { status }],
    ]);
  });
});

describe("what is stored", () => {
  it("has no Age, no cookies, and none of the fields that are for one client", () => {
    const lines = [
      'Cache-Control: max-age=60, private="X-A, x-b", no-cache=x-c',
      `Date: ${at(-1)}`,
      "X-A: 1",
      "X-B: 2",
      "X-C: 3",
      "X-D: 4",
      "X-D: 5",
      "Age: 6",
      "Set-Cookie: a=b",
      "Set-Cookie: c=d",
    ];
    const date = ["Date", at(-1)];
    expect(storedAs(lines).headers).toEqual([
      "Cache-Control",
      'max-age=60, private="X-A, x-b", no-cache=x-c',
      ...date,
      "X-D",
      "4",
      "X-D",
      "5",
    ]);
  });

  it("has a Date", () => {
    expect(storedAs([FRESH]).headers).toEqual(["Cache-Control", "max-age=60", "Date", at(0)]);
  });

  it("has what the request said where Vary looks", () => {
    const asked = askedWith(["Accept-Language: de, en;q=0.50", "B: 1", "B: 2"]);
    expect(storedAs([FRESH, "Vary: b, Accept-Language", "Vary: B, c"], "", { asked }).vary).toEqual([
      "accept-language",
      "de,en;q=0.5",
      "b",
      "1,2",
      "c",
      "\0",
    ]);
  });

  it("says what part it is", () => {
    const lines = [FRESH, "Content-Range: bytes 2-4/10"];
    expect(judge(lines, { status: 206 })).toMatchObject({ part: { first: 2, total: 10 } });
    expect(judge([FRESH])).toMatchObject({ part: undefined });
  });

  it("may be used stale as it says, else as the options say, and never when it forbids that", () => {
    const rules = { staleWhileRevalidateMs: 1000, staleIfErrorMs: 2000 };
    const stale = (cacheControl: string) => {
      const entry = storedAs([`Cache-Control: ${cacheControl}`, 'ETag: "a"'], "", { rules });
      return [entry.staleWhileRevalidateMs, entry.staleIfErrorMs, entry.mustRevalidate, entry.alwaysValidate];
    };
    expect(stale("max-age=1")).toEqual([1000, 2000, false, false]);
    expect(stale("max-age=1, stale-while-revalidate=5, stale-if-error=6")).toEqual([
      5000,
      6000,
      false,
      false,
    ]);
    expect(stale("max-age=1, stale-while-revalidate=x, stale-if-error=0")).toEqual([0, 0, false, false]);
    expect(stale("s-maxage=1")).toEqual([0, 0, true, false]);
    expect(stale("s-maxage=1, stale-while-revalidate=5, stale-if-error=6")).toEqual([
      5000,
      6000,
      true,
      false,
    ]);
    expect(stale("max-age=1, must-revalidate, stale-if-error=6")).toEqual([0, 0, true, false]);
    expect(stale("max-age=1, proxy-revalidate, stale-while-revalidate=5")).toEqual([0, 0, true, false]);
    expect(stale("no-cache, stale-while-revalidate=5")).toEqual([0, 0, true, true]);
  });
});
