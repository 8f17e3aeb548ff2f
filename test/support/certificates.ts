/** Certificates for tests: an authority of its own, and what it signs. Made new each time. */
import { generate, type GenerateResult } from "selfsigned";

export interface Certificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

export interface Authority extends Certificate {
  /** Signs a certificate for host names and addresses. */
  issue(names: readonly string[], validity?: { from?: Date; to?: Date }): Promise<Certificate>;
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

/** A certificate that signs itself, with a key that OpenSSL finds too short. */
export async function createWeakCertificate(): Promise<Certificate> {
  return pem(await generate(named("a.test"), { keySize: 1024, algorithm: "sha256" }));
}
