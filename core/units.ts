/** Units in configuration: `10s`, `16MB`, `50%`, `100/1m`. The schemas check the form, these parse it. */

const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;
const SIZE = /^(\d+(?:\.\d+)?)(B|KB|MB|GB)$/;
const PERCENT = /^(\d+(?:\.\d+)?)%$/;
const RATE = /^([1-9]\d*)\/([1-9]\d*)(ms|s|m|h|d)$/;
const MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const BYTES = { B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 } as const;

/** Patterns of the unit strings and how to describe them to people. */
export const UNITS = {
  duration: { pattern: DURATION.source, expected: "a duration such as 500ms, 10s, 5m or 1h" },
  size: { pattern: SIZE.source, expected: "a size such as 512B, 64KB, 16MB or 1GB" },
  percent: { pattern: PERCENT.source, expected: "a percentage such as 50%" },
  rate: { pattern: RATE.source, expected: "a rate such as 10/1s, 100/1m or 5000/1d" },
} as const;

/** Milliseconds of a duration such as `10s`. */
export function parseDuration(text: string): number {
  const match = DURATION.exec(text);
  if (match === null) throw new TypeError(`not a duration: ${text}`);
  return Number(match[1]) * MS[match[2] as keyof typeof MS];
}

/** Bytes of a size such as `16MB` (powers of 1024). */
export function parseSize(text: string): number {
  const match = SIZE.exec(text);
  if (match === null) throw new TypeError(`not a size: ${text}`);
  return Math.floor(Number(match[1]) * BYTES[match[2] as keyof typeof BYTES]);
}

/** The share that a percentage such as `50%` means: 0.5. */
export function parsePercent(text: string): number {
  const match = PERCENT.exec(text);
  if (match === null) throw new TypeError(`not a percentage: ${text}`);
  return Number(match[1]) / 100;
}

/** So many units in so many milliseconds. */
export interface Rate {
  readonly count: number;
  readonly windowMs: number;
}

/** What a rate such as `100/1m` means. */
export function parseRate(text: string): Rate {
  const match = RATE.exec(text);
  if (match === null) throw new TypeError(`not a rate: ${text}`);
  return { count: Number(match[1]), windowMs: Number(match[2]) * MS[match[3] as keyof typeof MS] };
}

/** A schema for a duration that has no default. */
export const anyDuration = <const X extends string>(description: X) =>
  ({ type: "string", pattern: UNITS.duration.pattern, description }) as const;

/** A schema for a duration. */
export const duration = <const D extends string, const X extends string>(fallback: D, description: X) =>
  ({ type: "string", pattern: UNITS.duration.pattern, default: fallback, description }) as const;

/** A schema for a size that has no default. */
export const anySize = <const X extends string>(description: X) =>
  ({ type: "string", pattern: UNITS.size.pattern, description }) as const;

/** A schema for a size. */
export const size = <const D extends string, const X extends string>(fallback: D, description: X) =>
  ({ type: "string", pattern: UNITS.size.pattern, default: fallback, description }) as const;

/** A schema for a percentage. */
export const percent = <const D extends string, const X extends string>(fallback: D, description: X) =>
  ({ type: "string", pattern: UNITS.percent.pattern, default: fallback, description }) as const;

/** A schema for a rate. */
export const rate = <const X extends string>(description: X) =>
  ({ type: "string", pattern: UNITS.rate.pattern, description }) as const;
