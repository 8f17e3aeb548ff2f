/** How proxies that end TLS write the certificate of the client into a header. */
import { bytesOf, readItem } from "../../../core/http-signatures/structured-fields.ts";
import { withDashes } from "../../../core/headers.ts";
import type { HeaderList } from "../../../core/plugin.ts";

export const FORMATS = ["rfc9440", "pem", "xfcc"] as const;
export type Format = (typeof FORMATS)[number];

/** Where each is by default. */
export const USUAL_HEADERS = {
  rfc9440: "client-cert",
  pem: "ssl-client-cert",
  xfcc: "x-forwarded-client-cert",
} as const satisfies Record<Format, string>;

/** Take the certificate, in DER, from the value of a header. */
export const READERS = {
  /** A byte sequence (RFC 9440 section 2.1). */
  rfc9440: (text) => bytesOf(readItem(text)),
  pem: readPem,
  xfcc: readXfcc,
} as const satisfies Record<Format, (text: string) => Buffer | undefined>;

const PEM = /^-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*$/;

/** PEM, percent-encoded; a plus sign stands for itself. */
function readPem(text: string): Buffer | undefined {
  let pem: string;
  try {
    pem = decodeURIComponent(text);
  } catch {
    return undefined;
  }
  const base64 = PEM.exec(pem)?.[1];
  return base64 === undefined ? undefined : Buffer.from(base64, "base64");
}

/** `Key=value` or `Key="value"`, and what comes after it. */
const PAIR = /([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;]*))(;|,|$)/y;

/** Of an element for each proxy there must be only one: who has written the others is not known. */
function readXfcc(text: string): Buffer | undefined {
  let cert: string | undefined;
  PAIR.lastIndex = 0;
  for (let end = ";"; end !== ""; ) {
    const match = PAIR.exec(text);
    if (match === null || match[4] === ",") return undefined;
    end = match[4]!;
    if (match[1]!.toLowerCase() !== "cert") continue;
    if (cert !== undefined) return undefined;
    cert = match[2] ?? match[3];
  }
  return cert === undefined ? undefined : readPem(cert);
}

/**
 * Removes a header, with the writings that many a server cannot tell from it.
 * @param keep leave the header itself
 */
export function removeHeader({ raw }: HeaderList, name: string, keep = false): void {
  for (let i = raw.length - 2; i >= 0; i -= 2) {
    if (raw[i]!.length !== name.length) continue;
    const lower = raw[i]!.toLowerCase();
    if (withDashes(lower) === withDashes(name) && !(keep && lower === name)) raw.splice(i, 2);
  }
}
