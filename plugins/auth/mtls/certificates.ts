/**
 * Client certificates: whether an authority that is trusted has issued one, for how long, and what it is known by. What
 * was found is remembered under the digest of the text that had it, for the right ones and for the wrong ones.
 */
import { hash, X509Certificate } from "node:crypto";
import { Recent } from "../../../core/recent.ts";

const MOST_KNOWN = 10_000;
const MOST_KNOWN_BYTES = 16 * 1024 ** 2;
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const ANY_USE = "2.5.29.37.0";
const WEAK = /md5|sha-?1(?!\d)/i;

/** A certificate that an authority has issued. */
export interface Issued {
  /** What it is known by, as consumers have it, the narrowest first. */
  readonly names: readonly string[];
  /** Milliseconds since the Unix epoch. */
  readonly startsAt: number;
  readonly endsAt: number;
}

export class ClientCertificates {
  readonly #authorities: readonly X509Certificate[];
  readonly #read: (text: string) => Buffer | undefined;
  readonly #issued = new Recent<Issued>(MOST_KNOWN, MOST_KNOWN_BYTES, bytesOf);
  /** Apart from the others, which wrong ones must not push out. */
  readonly #refused = new Recent<true>(MOST_KNOWN, Number.POSITIVE_INFINITY, () => 0);

  /** @param read takes the certificate, in DER, from the text that has it */
  constructor(authorities: readonly X509Certificate[], read: (text: string) => Buffer | undefined) {
    // Of two that have the same name and key, the one that lasts longer counts.
    this.#authorities = [...authorities].sort((a, b) => b.validToDate.getTime() - a.validToDate.getTime());
    this.#read = read;
  }

  /** @returns undefined for what is no certificate, or one that nobody who is trusted has issued for clients */
  find(text: string): Issued | undefined {
    const digest = hash("sha256", text, "base64url");
    const known = this.#issued.get(digest);
    if (known !== undefined || this.#refused.get(digest)) return known;
    const der = this.#read(text);
    const certificate = der && parseCertificate(der);
    const issued = certificate && this.judge(certificate);
    if (issued === undefined) this.#refused.set(digest, true);
    else this.#issued.set(digest, issued);
    return issued;
  }

  /** The same of a certificate, wherever it comes from. */
  judge(certificate: X509Certificate): Issued | undefined {
    const authority = this.#authorities.find((each) => isIssuedBy(certificate, each));
    const { keyUsage, signatureAlgorithm } = certificate;
    // Extended usages, by which a server's certificate is none of a client.
    const uses: readonly string[] | undefined = keyUsage;
    const isForClients = uses === undefined || uses.includes(CLIENT_AUTH) || uses.includes(ANY_USE);
    if (authority === undefined || !isForClients || WEAK.test(signatureAlgorithm ?? "")) return undefined;
    return {
      names: namesOf(certificate),
      startsAt: Math.max(certificate.validFromDate.getTime(), authority.validFromDate.getTime()),
      endsAt: Math.min(certificate.validToDate.getTime(), authority.validToDate.getTime()),
    };
  }
}

const bytesOf = ({ names }: Issued): number => 2 * names.join("").length + 300;

function parseCertificate(der: Buffer): X509Certificate | undefined {
  try {
    const certificate = new X509Certificate(der);
    return certificate.raw.equals(der) ? certificate : undefined; // OpenSSL overlooks what comes after it
  } catch {
    return undefined;
  }
}

/** One that is listed itself counts as well: it may have signed itself. */
function isIssuedBy(certificate: X509Certificate, authority: X509Certificate): boolean {
  if (certificate.fingerprint256 === authority.fingerprint256) return true;
  return authority.ca && certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

function namesOf(certificate: X509Certificate): string[] {
  const { fingerprint256, subject, subjectAltName } = certificate;
  return [
    `sha256:${fingerprint256.replaceAll(":", "").toLowerCase()}`,
    ...alternativeNames(subjectAltName ?? ""),
    ...(subject === undefined || subject === "" ? [] : [`subject:${subjectName(subject)}`]),
  ];
}

/** A distinguished name by RFC 2253, from a line for each part: what means something in it is escaped already. */
function subjectName(lines: string): string {
  const parts = lines.split("\n").map((line) => line.split(" + ").reverse().join("+"));
  return parts.reverse().join(",");
}

/** Node quotes values with anything in them that could be taken for another name (CVE-2021-44532). */
const NAME = /(?:^|, )([A-Za-z][A-Za-z ]*):(?:"((?:[^"\\]|\\.)*)"|([^",]*))(?=, |$)/y;
const KINDS: ReadonlyMap<string, string> = new Map([
  ["DNS", "dns"],
  ["URI", "uri"],
  ["email", "email"],
]);

/** @returns none when they are not written as expected */
export function alternativeNames(text: string): string[] {
  const names: string[] = [];
  let end = 0;
  for (NAME.lastIndex = 0; end < text.length; end = NAME.lastIndex) {
    const match = NAME.exec(text);
    if (match === null) return [];
    const kind = KINDS.get(match[1]!);
    if (kind === undefined) continue;
    const value = match[2] === undefined ? match[3]! : unquote(match[2]);
    names.push(`${kind}:${kind === "dns" ? value.toLowerCase() : value}`);
  }
  return names;
}

function unquote(text: string): string {
  try {
    return JSON.parse(`"${text}"`) as string;
  } catch {
    return "";
  }
}
