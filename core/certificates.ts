/** Certificates as the configuration has them: texts of PEM blocks. */
import { X509Certificate } from "node:crypto";

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/** What is wrong with a text of certificates. */
export function certificatesProblem(pem: string): string | undefined {
  const blocks = pem.match(PEM_CERTIFICATE) ?? [];
  if (blocks.length === 0)
    return `This is not a PEM certificate: it has no -----BEGIN CERTIFICATE----- block`;
  // OpenSSL reads on at the next line, and would leave the second of two such certificates out.
  if (/-----END [A-Z ]+-----[^\r\n]*-----BEGIN/.test(pem))
    return "Each PEM block must begin on a line of its own";
  const broken = blocks.findIndex((block) => !isCertificate(block));
  if (broken === -1) return undefined;
  return `${blocks.length === 1 ? "The certificate" : `Certificate ${broken + 1} of ${blocks.length}`} cannot be read`;
}

/** The certificates of a text that has no {@link certificatesProblem}. */
export function readCertificates(pem: string): X509Certificate[] {
  return (pem.match(PEM_CERTIFICATE) ?? []).map((block) => new X509Certificate(block));
}

function isCertificate(pem: string): boolean {
  try {
    new X509Certificate(pem);
    return true;
  } catch {
    return false;
  }
}
