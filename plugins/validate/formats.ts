/** The formats that texts and numbers are checked for (JSON Schema 2020-12, Validation, section 7; OpenAPI 3.1). */
import { isIPv4, isIPv6 } from "node:net";

type Format = ((text: string) => boolean) | { type: "number"; validate(value: number): boolean } | true;

/** Longest text that can have one of the formats that are of bounded length, or nearly so. */
const MAX_LENGTH = 2048;

/** A format whose texts match; each expression takes linear time. */
const matching =
  (regex: RegExp): ((text: string) => boolean) =>
  (text) =>
    text.length <= MAX_LENGTH && regex.test(text);

const DATE = /^(\d{4})-(\d\d)-(\d\d)$/;
const TIME = /^([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.\d+)?(?:z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i;
const HOSTNAME = /^[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?(?:\.[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?)*$/i;
const LOCAL_PART = /^[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*$/;

function isDate(text: string): boolean {
  const [, year, month, day] = (DATE.exec(text) ?? []).map(Number);
  if (year === undefined || month! < 1 || month! > 12) return false;
  const days =
    month === 2
      ? year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
        ? 29
        : 28
      : 30 + ((month! + (month! >> 3)) & 1);
  return day! >= 1 && day! <= days;
}

const isTime = (text: string): boolean => text.length <= 64 && TIME.test(text);
const isHostname = (text: string): boolean => text.length <= 253 && HOSTNAME.test(text);
const isUri = (text: string): boolean =>
  text.length <= MAX_LENGTH && URL.canParse(text) && /^[!-~]+$/.test(text);

function isEmail(text: string): boolean {
  const at = text.lastIndexOf("@");
  return at > 0 && at <= 64 && LOCAL_PART.test(text.slice(0, at)) && isHostname(text.slice(at + 1));
}

const isInteger = (bits: number) => ({
  type: "number" as const,
  validate: (value: number): boolean =>
    Number.isInteger(value) && value >= -(2 ** (bits - 1)) && value < 2 ** (bits - 1),
});

/** By name. `true`: says what a value is for, and nothing that could be checked. */
export const FORMATS: Readonly<Record<string, Format>> = {
  date: isDate,
  time: isTime,
  "date-time": (text) =>
    /^[t ]$/i.test(text.charAt(10)) && isDate(text.slice(0, 10)) && isTime(text.slice(11)),
  duration: matching(/^P(?!$)(?:\d+W|(?:\d+Y)?(?:\d+M)?(?:\d+D)?(?:T(?=\d)(?:\d+H)?(?:\d+M)?(?:\d+S)?)?)$/),
  email: isEmail,
  hostname: isHostname,
  ipv4: isIPv4,
  ipv6: (text) => isIPv6(text) && !text.includes("%"),
  uri: isUri,
  uuid: matching(/^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i),
  "json-pointer": (text) => text === "" || (text.startsWith("/") && !/~(?![01])/.test(text)),
  byte: (text) => text.length % 4 === 0 && /^[\w+/-]*={0,2}$/.test(text),
  int32: isInteger(32),
  int64: isInteger(64),
  float: true,
  double: true,
  binary: true,
  password: true,
};
