/** TLS to targets: checks certificates and keys before a configuration serves, and makes of them what connections use. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import { certificatesProblem } from "../certificates.ts";
import type { TargetTlsConfig } from "../config/checked.ts";
import type { Problem } from "../errors.ts";
import { keyOf, type Lease } from "../keep.ts";
import type { ConnectorTls } from "./connector.ts";

/** What is wrong with the options, with pointers relative to the upstream. Says nothing of what is in them. */
export function findTlsProblems({ ca, cert, key, serverName }: TargetTlsConfig): Problem[] {
  const problems: Problem[] = [];
  const report = (option: string, message: string): void => {
    problems.push({ code: "CONFIG_CERTIFICATE", message, pointer: `/tls/${option}` });
  };
  const caProblem = ca === undefined ? undefined : certificatesProblem(ca);
  const certProblem = cert === undefined ? undefined : certificatesProblem(cert);
  if (caProblem !== undefined) report("ca", caProblem);
  if (certProblem !== undefined) report("cert", certProblem);
  const privateKey = key === undefined ? undefined : parseKey(key);
  if (typeof privateKey === "string") report("key", privateKey);
  else if (privateKey !== undefined && cert !== undefined && certProblem === undefined) {
    if (!new X509Certificate(cert).checkPrivateKey(privateKey))
      report("key", "This private key does not belong to the certificate in `cert`; its first one counts");
    else {
      const refusal = opensslRefusal(cert, key!);
      if (refusal !== undefined) report("cert", `OpenSSL refuses this certificate: ${refusal}`);
    }
  }
  if (serverName !== undefined && isIP(serverName) !== 0) {
    report("serverName", "A server name is a host name; the addresses of targets are checked without it");
  }
  return problems;
}

/** Why OpenSSL does not use a certificate that can be read: a key that is too short, for example. */
function opensslRefusal(cert: string, key: string): string | undefined {
  try {
    createSecureContext({ ca: [], cert, key });
    return undefined;
  } catch (error) {
    const { reason, code } = error as NodeJS.ErrnoException & { reason?: string };
    return reason ?? code ?? "it does not say why";
  }
}

/** The key, or what is wrong with it. */
function parseKey(pem: string): KeyObject | string {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(pem))
    return "The private key is encrypted; write it without a passphrase";
  try {
    return createPrivateKey(pem);
  } catch {
    return "This is not a PEM private key that can be read";
  }
}

/**
 * What connections with these options share. Without a CA of its own it trusts the system's and Node's: dear to make
 * (50 ms, 1 MB), so make it once for all targets.
 */
export function createTlsContext({
  ca,
  cert,
  key,
  minVersion,
}: Partial<TargetTlsConfig> = {}): SecureContext {
  return createSecureContext({
    ca: ca ?? [...new Set([...getCACertificates("default"), ...getCACertificates("system")])],
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(minVersion === undefined ? {} : { minVersion }),
  });
}

/** How to speak TLS to targets with these options; what is dear in it is made once for all who ask the same store. */
export function connectorTls(options: TargetTlsConfig | undefined, lease: Lease): ConnectorTls {
  const tls = { verify: true, ...options };
  const { context } = lease.keep(keyOf("tls", tls), () => ({ context: createTlsContext(tls) }));
  return { context, serverName: tls.serverName, verify: tls.verify };
}
