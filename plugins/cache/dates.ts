/** Dates in fields (RFC 9110 section 5.6.7). */

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const TIME = "(\\d\\d):(\\d\\d):(\\d\\d)";
const MONTH = `(${MONTHS.join("|")})`;
const DAY = "(?:mon|tue|wed|thu|fri|sat|sun)";
const LONG_DAY = "(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)";

/** `Sun, 06 Nov 1994 08:49:37 GMT`. Case does not count (RFC 9111 section 4.2), any other zone is invalid. */
const IMF_FIXDATE = new RegExp(`^${DAY}, (\\d\\d) ${MONTH} (\\d{4}) ${TIME} gmt$`, "i");
/** `Sunday, 06-Nov-94 08:49:37 GMT`. */
const RFC850_DATE = new RegExp(`^${LONG_DAY}, (\\d\\d)-${MONTH}-(\\d\\d) ${TIME} gmt$`, "i");
/** `Sun Nov  6 08:49:37 1994`. */
const ASCTIME_DATE = new RegExp(`^${DAY} ${MONTH} (\\d\\d| \\d) ${TIME} (\\d{4})$`, "i");

/**
 * Reads a date in any of the three forms that there are.
 * @param nowMs tells which century a year of two digits is in
 * @returns milliseconds since the Unix epoch; undefined when it is none
 */
export function parseHttpDate(value: string, nowMs: number): number | undefined {
  let match = IMF_FIXDATE.exec(value);
  if (match !== null) return epochMs(match[3]!, match[2]!, match[1]!, match, 4);
  match = RFC850_DATE.exec(value);
  if (match !== null) {
    return epochMs(String(fullYear(Number(match[3]), nowMs)), match[2]!, match[1]!, match, 4);
  }
  match = ASCTIME_DATE.exec(value);
  return match === null ? undefined : epochMs(match[6]!, match[1]!, match[2]!, match, 3);
}

/** A year that would be more than 50 years ahead is of the century before. */
function fullYear(twoDigits: number, nowMs: number): number {
  const now = new Date(nowMs).getUTCFullYear();
  const year = now - (now % 100) + twoDigits;
  if (year > now + 50) return year - 100;
  return year <= now - 50 ? year + 100 : year;
}

function epochMs(
  year: string,
  month: string,
  day: string,
  match: RegExpExecArray,
  time: number,
): number | undefined {
  const [hours, minutes, seconds] = [Number(match[time]), Number(match[time + 1]), Number(match[time + 2])];
  if (hours! > 23 || minutes! > 59 || seconds! > 60) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), MONTHS.indexOf(month.toLowerCase()), Number(day));
  if (date.getUTCDate() !== Number(day)) return undefined;
  return date.setUTCHours(hours!, minutes, seconds);
}
