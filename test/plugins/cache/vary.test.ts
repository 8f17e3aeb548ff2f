import { describe, expect, it } from "vitest";
import { ABSENT, normalizedField, readVary } from "../../../plugins/cache/vary.ts";
import { headersOf } from "../../support/cache-replies.ts";

const normalized = (name: string, ...values: string[]) =>
  normalizedField(headersOf(...values.map((value) => `${name}: ${value}`)), name);

describe("the names in Vary", () => {
  it("are a set, in any case and order", () => {
    expect(readVary(undefined)).toEqual([]);
    expect(readVary(" , B,a ,,b")).toEqual(["a", "b"]);
  });

  it("match nothing with a star, or what is not a name", () => {
    for (const value of ["*", "*, *", ", *", "a, *", "a b", "a;b"])
      expect(readVary(value), value).toBeUndefined();
  });
});

describe("values of fields that Vary names", () => {
  it("are the same with and without blanks around commas, and in one line or several", () => {
    expect(normalized("foo", "1, 2")).toBe("1,2");
    expect(normalized("foo", "1", "2")).toBe("1,2");
    expect(normalized("foo", " 1 ,2")).toBe("1,2");
    expect(normalized("foo", '"a, b" , c')).toBe('"a, b",c');
    expect(normalized("foo", "B,a")).toBe("B,a");
  });

  it("are different when an upstream may take them for different", () => {
    for (const other of ["https://a.com,", ",https://a.com", "https://a.com,,"]) {
      expect(normalized("origin", other)).not.toBe(normalized("origin", "https://a.com"));
    }
    expect(normalized("foo", "a,,b")).not.toBe(normalized("foo", "a,b"));
    expect(normalized("foo", '"a, b"')).not.toBe(normalized("foo", '"a,b"'));
  });

  it("take no time however long they are", () => {
    const long = "a,".repeat(8000);
    expect(normalized("accept-language", long)).toBe(long);
  });

  it("are the same whatever the order of what is preferred alike", () => {
    expect(normalized("accept-language", "en, de")).toBe(normalized("accept-language", "DE,  eN"));
    expect(normalized("accept-language", "en;q=1.0, de ; q=0.50")).toBe(
      normalized("accept-language", "de;q=0.5, en"),
    );
    expect(normalized("accept-encoding", "gzip, br")).toBe(normalized("accept-encoding", "br", "gzip"));
    expect(normalized("accept-encoding", "gzip, br;q=0")).not.toBe(normalized("accept-encoding", "gzip, br"));
    expect(normalized("accept-language", "en, de")).not.toBe(normalized("accept-language", "en, de;q=0.9"));
  });

  it("are different when one request has the field and the other has not", () => {
    expect(normalizedField(headersOf("a: 1"), "b")).toBe(ABSENT);
    expect(normalized("b", "")).toBe("");
  });

  it("are right for more different values than are kept at hand", () => {
    for (let i = 0; i < 2000; i++) expect(normalized("accept-language", `x${i}, a`)).toBe(`a,x${i}`);
  });
});
