import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FORMATS } from "../../../plugins/validate/formats.ts";
import { cpuMsOf } from "../../support/cpu-time.ts";

function fits(format: string, value: unknown): boolean {
  const check = FORMATS[format]!;
  if (check === true) return true;
  return typeof check === "function" ? check(value as string) : check.validate(value as number);
}

/** What has a format, and what has not. */
const CASES: Record<string, [good: unknown[], bad: unknown[]]> = {
  date: [
    ["2024-02-29", "2000-02-29", "0000-01-01", "2023-12-31"],
    [
      "2023-02-29",
      "1900-02-29",
      "2023-04-31",
      "2023-13-01",
      "2023-00-01",
      "2023-01-00",
      "2023-1-01",
      "2023-01-01T",
      "",
    ],
  ],
  time: [
    ["00:00:00Z", "23:59:60z", "12:00:00.123456+02:30", "12:00:00-23:59"],
    ["24:00:00Z", "12:60:00Z", "12:00:61Z", "12:00:00", "12:00Z", "12:00:00.Z", "12:00:00+24:00", ""],
  ],
  "date-time": [
    ["2024-02-29T12:00:00Z", "2024-01-01t00:00:00.5+01:00", "2024-01-01 00:00:00Z"],
    ["2024-02-30T12:00:00Z", "2024-01-01T12:00:00", "2024-01-01", "2024-01-01X00:00:00Z", ""],
  ],
  duration: [
    ["P1D", "PT1S", "P1Y2M3DT4H5M6S", "P2W", "PT0S"],
    ["P", "PT", "1D", "P1S", "P1W2D", "P1.5D", "P1DT", ""],
  ],
  email: [
    ["a@b.example", "first.last+tag@sub.example.com", "a@localhost"],
    ["a", "@b", "a@", "a@b@c", "a..b@c", ".a@b", "a@b..c", "a@-b.c", "a b@c", `${"a".repeat(65)}@b.c`, ""],
  ],
  hostname: [
    ["example.com", "a", "xn--mnchen-3ya.de", "1.2"],
    ["-a", "a-", "a..b", "a_b", ".a", `${"a".repeat(64)}.b`, "a.".repeat(130), ""],
  ],
  ipv4: [["192.0.2.1"], ["256.0.0.1", "1.2.3", "01.2.3.4", "::1", ""]],
  ipv6: [
    ["::1", "2001:db8::1", "::ffff:192.0.2.1"],
    ["fe80::1%eth0", "1::2::3", "12345::", "1.2.3.4", ""],
  ],
  uri: [
    ["https://example.com/a?b#c", "urn:isbn:123", "mailto:a@b.example"],
    ["/a", "example.com", "https://", "https://a b", "https://é.example", ""],
  ],
  uuid: [
    ["123e4567-e89b-12d3-a456-426614174000", "00000000-0000-0000-0000-000000000000"],
    [
      "123e4567e89b12d3a456426614174000",
      "123e4567-e89b-12d3-a456-42661417400g",
      "{123e4567-e89b-12d3-a456-426614174000}",
      "",
    ],
  ],
  "json-pointer": [
    ["", "/", "/a/b~0~1"],
    ["a", "/~", "/~2"],
  ],
  byte: [
    ["", "YWJj", "YQ=="],
    ["YQ", "YQ=", "Y===", "YW Jj"],
  ],
  int32: [
    [0, -(2 ** 31), 2 ** 31 - 1],
    [2 ** 31, -(2 ** 31) - 1, 1.5],
  ],
  int64: [
    [0, Number.MAX_SAFE_INTEGER, -(2 ** 63)],
    [2 ** 63, 0.1],
  ],
};

describe.each(Object.entries(CASES))("the format %s", (format, [good, bad]) => {
  it.each(good)("has %j", (value) => expect(fits(format, value)).toBe(true));
  it.each(bad)("has not %j", (value) => expect(fits(format, value)).toBe(false));
});

it("dates are those of the calendar", () => {
  const day = fc.date({ min: new Date("0001-01-01"), max: new Date("9999-12-31"), noInvalidDate: true });
  fc.assert(
    fc.property(day, (date) => {
      expect(fits("date", date.toISOString().slice(0, 10))).toBe(true);
      expect(fits("date-time", date.toISOString())).toBe(true);
    }),
  );
  const parts = fc.tuple(fc.nat(9999), fc.nat(20), fc.nat(40));
  fc.assert(
    fc.property(parts, ([year, month, day]) => {
      const text = [
        String(year).padStart(4, "0"),
        ...[month, day].map((n) => String(n).padStart(2, "0")),
      ].join("-");
      const date = new Date(`${text}T00:00:00Z`);
      const isReal = !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
      expect([text, fits("date", text)]).toEqual([text, isReal]);
    }),
    { numRuns: 2000 },
  );
});

it.each(Object.keys(FORMATS))("the format %s takes no time for long texts", (format) => {
  const cpuMs = cpuMsOf(() => {
    for (const unit of ["a", "1", "-", ".", "a.", "@", ":", "/", "~0", "P1D", "=", " "]) {
      const text = unit.repeat(1_000_000 / unit.length);
      for (const tail of ["", "!", "@a"]) fits(format, text + tail);
    }
  });
  expect(cpuMs).toBeLessThan(3000);
});
