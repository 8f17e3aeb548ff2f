/** Certificates for tests: an authority of its own, and what it signs. Made new each time. */
import { type CertificateExtension, generate, type GenerateResult } from "selfsigned";

export interface Certificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

export interface Authority extends Certificate {
  /** Signs a certificate for host names and addresses. */
  issue(names: readonly string[], validity?: { from?: Date; to?: Date }): Promise<Certificate>;
}

export interface Client {
  readonly altNames?: { type: 1 | 2 | 6; value: string }[];
  /** What it is for; for whatever one likes by default. */
  readonly use?: "clientAuth" | "serverAuth";
  readonly cA?: boolean;
  readonly algorithm?: "sha1" | "sha256";
  readonly to?: Date;
}

const pem = ({ cert, private: key }: GenerateResult): Certificate => ({ cert, key });
const named = (value: string) => [{ name: "commonName", value }];
const isAddress = (name: string): boolean => /^[\d.]+$|:/.test(name);

/** Makes an authority. */
export async function createAuthority(name = "Test CA"): Promise<Authority> {
  const ca = pem(
    await generate(named(name), {
      keyType: "ec",
      algorithm: "sha256",
      extensions: [
        { name: "basicConstraints", cA: true, critical: true },
        { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
      ],
    }),
  );
  const issue: Authority["issue"] = async (names, { from, to } = {}) =>
    pem(
      await generate(named(names[0]!), {
        keyType: "ec",
        algorithm: "sha256",
        ca,
        extensions: [
          { name: "basicConstraints", cA: false },
          {
            name: "subjectAltName",
            altNames: names.map((each) =>
              isAddress(each) ? { type: 7, ip: each } : { type: 2, value: each },
            ),
          },
        ],
        ...(from === undefined ? {} : { notBeforeDate: from }),
        ...(to === undefined ? {} : { notAfterDate: to }),
      }),
    );
  return { ...ca, issue };
}

/** Signs a certificate for a client. */
export async function issueClient(
  ca: Certificate,
  commonName: string,
  { altNames, use, cA = false, algorithm = "sha256", to }: Client = {},
): Promise<Certificate> {
  const extensions: CertificateExtension[] = [{ name: "basicConstraints", cA }];
  if (altNames !== undefined) extensions.push({ name: "subjectAltName", altNames });
  if (use !== undefined) extensions.push({ name: "extKeyUsage", [use]: true });
  const subject = [...named(commonName), { name: "organizationName", value: "Example" }];
  const validity = to === undefined ? {} : { notAfterDate: to };
  return pem(await generate(subject, { keyType: "ec", algorithm, ca, extensions, ...validity }));
}

/** A certificate that signs itself, with a key that OpenSSL finds too short. */
export async function createWeakCertificate(): Promise<Certificate> {
  return pem(await generate(named("a.test"), { keySize: 1024, algorithm: "sha256" }));
}
