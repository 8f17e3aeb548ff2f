/** Certificates of clients, as a proxy in front that ends TLS tells of them (RFC 9440). */
import { hash } from "node:crypto";
import { certificatesProblem, readCertificates } from "../../core/certificates.ts";
import { compileHeaderName } from "../../core/option-text.ts";
import { ConfigError, type Exchange, type FromSchema, type Host } from "../../core/plugin.ts";
import type { Finding, Method } from "./method.ts";
import { ClientCertificates } from "./mtls/certificates.ts";
import { FORMATS, READERS, removeHeader, USUAL_HEADERS } from "./mtls/header.ts";

const CHAIN = "client-cert-chain";

export const mtlsOptions = {
  type: "object",
  description: "A client certificate, which a trusted proxy that ends TLS tells of in a header.",
  properties: {
    ca: {
      type: "string",
      minLength: 1,
      description: "Certificates, in PEM, of the authorities that issue those of clients: `${file:ca.pem}`.",
    },
    format: {
      type: "string",
      enum: FORMATS,
      default: "rfc9440",
      description:
        "How it is written: `rfc9440`, `pem` (percent-encoded, as nginx does) or `xfcc` (as Envoy does).",
    },
    header: {
      type: "string",
      minLength: 1,
      description:
        "Header that has it; by default `client-cert`, `ssl-client-cert` or `x-forwarded-client-cert`.",
    },
    keep: {
      type: "boolean",
      default: false,
      description: "Leave the header in requests of trusted proxies: the upstream sees it then.",
    },
  },
  required: ["ca"],
  additionalProperties: false,
} as const;

type Options = FromSchema<typeof mtlsOptions>;

/** @throws ConfigError at `pointer` */
export function createMtls(options: Options, pointer: string, host: Host): Method {
  const { ca, format, keep } = options;
  const { consumers, clock } = host;
  const problem = certificatesProblem(ca);
  if (problem !== undefined) throw new ConfigError(problem, `${pointer}/ca`, "CONFIG_CERTIFICATE");
  const header = compileHeaderName(options.header ?? USUAL_HEADERS[format], `${pointer}/header`);
  const certificates = host.keep(
    `auth certificates ${format} ${hash("sha256", ca)}`,
    () => new ClientCertificates(readCertificates(ca), READERS[format]),
  );
  const remove = ({ headers }: Exchange, keeps = false): void => {
    removeHeader(headers, header, keeps);
    if (format === "rfc9440") removeHeader(headers, CHAIN, keeps);
  };
  return {
    name: "mtls",
    challenge: "ClientCertificate",
    rejection: "ClientCertificate",
    places: [{ id: `header ${header}`, clear: (x) => remove(x) }],
    identify(x): Finding {
      const { trusted } = x.peer;
      const lines = trusted ? x.headers.getAll(header) : [];
      remove(x, trusted && keep);
      const [line = ""] = lines;
      if (line === "" && lines.length < 2) return "absent"; // nginx writes an empty one where there is none
      const issued = lines.length === 1 ? certificates.find(line) : undefined;
      const now = clock.now();
      if (issued === undefined || !(issued.startsAt <= now && now < issued.endsAt)) return "invalid";
      return consumers.ofCertificate(issued.names, now) ?? "invalid";
    },
  };
}
