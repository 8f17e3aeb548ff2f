/**
 * Puts the headers on replies that make browsers careful with them, and removes those that tell what the
 * upstream runs on. Defaults follow the OWASP HTTP Headers cheat sheet; each header can be changed or turned off.
 *
 * Stands near the top of a pipeline, above whatever makes replies; always calls next.
 * The client sees the headers on every reply, also on failures of the stages below. A header that the upstream
 * sent itself is kept, unless `override: true`.
 * `strictTransportSecurity` is sent only to clients that used https (RFC 6797 section 7.2), unless its `force`.
 * `reportOnly` changes the header that `contentSecurityPolicy` goes to.
 * Depends on nothing that can fail at run time: every value is written and checked in build.
 */
import { editReplyHeaders } from "../core/edit-reply-headers.ts";
import { compileHeaderName } from "../core/option-text.ts";
import type { FromSchema, HeaderList, JsonSchema, Plugin } from "../core/plugin.ts";
import { duration } from "../core/units.ts";
import {
  contentSecurityPolicy,
  permissionsPolicy,
  strictTransportSecurity,
} from "./security-headers/values.ts";

const REFERRER_POLICY = {
  type: "string",
  enum: [
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
  ],
} as const;

const schema = {
  type: "object",
  description: "Puts security headers on replies and removes headers that tell too much.",
  properties: {
    contentSecurityPolicy: {
      description: "Content-Security-Policy: a text, directives by name, or `false` for none.",
      default:
        "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
      anyOf: [
        { const: false },
        { type: "string", minLength: 1 },
        {
          type: "object",
          minProperties: 1,
          additionalProperties: {
            anyOf: [
              { const: true },
              { type: "string", minLength: 1 },
              { type: "array", items: { type: "string", minLength: 1 } },
            ],
          },
        },
      ],
    },
    reportOnly: {
      type: "boolean",
      default: false,
      description: "Send it as Content-Security-Policy-Report-Only: browsers report what it would stop.",
    },
    strictTransportSecurity: {
      type: ["object", "boolean"],
      not: { const: true },
      default: {},
      description: "Strict-Transport-Security, for clients that used https, or `false` for none.",
      properties: {
        maxAge: duration("365d", "How long browsers insist on https."),
        includeSubDomains: { type: "boolean", default: true, description: "Hosts below this one as well." },
        preload: {
          type: "boolean",
          default: false,
          description: "Agree to be built into browsers; hard to undo.",
        },
        force: {
          type: "boolean",
          default: false,
          description: "Send it over http too: for a proxy in front that ends TLS and does not say so.",
        },
      },
      additionalProperties: false,
    },
    frameOptions: {
      enum: ["DENY", "SAMEORIGIN", false],
      default: "DENY",
      description: "X-Frame-Options: who may show the reply in a frame, or `false` for none.",
    },
    contentTypeOptions: {
      type: "boolean",
      default: true,
      description: "X-Content-Type-Options: `nosniff`, or `false` for none.",
    },
    referrerPolicy: {
      description: "Referrer-Policy: a policy, a list whose last known one counts, or `false` for none.",
      default: "strict-origin-when-cross-origin",
      anyOf: [{ const: false }, REFERRER_POLICY, { type: "array", items: REFERRER_POLICY, minItems: 1 }],
    },
    permissionsPolicy: {
      description: "Permissions-Policy: a text, allowed origins by feature, or `false` for none.",
      default: "camera=(), geolocation=(), microphone=()",
      anyOf: [
        { const: false },
        { type: "string", minLength: 1 },
        {
          type: "object",
          minProperties: 1,
          additionalProperties: {
            anyOf: [{ const: "*" }, { type: "array", items: { type: "string", minLength: 1 } }],
          },
        },
      ],
    },
    crossOriginOpenerPolicy: {
      enum: ["same-origin", "same-origin-allow-popups", "noopener-allow-popups", "unsafe-none", false],
      default: "same-origin",
      description: "Cross-Origin-Opener-Policy, or `false` for none.",
    },
    crossOriginEmbedderPolicy: {
      enum: ["require-corp", "credentialless", "unsafe-none", false],
      default: false,
      description:
        "Cross-Origin-Embedder-Policy; none by default, because it breaks pages that embed others.",
    },
    crossOriginResourcePolicy: {
      enum: ["same-origin", "same-site", "cross-origin", false],
      default: "same-origin",
      description: "Cross-Origin-Resource-Policy: who may embed the reply without CORS, or `false` for none.",
    },
    xssProtection: {
      enum: ["0", "1; mode=block", false],
      default: "0",
      description:
        "X-XSS-Protection: `0` turns off a filter of old browsers that can be abused; `false` for none.",
    },
    remove: {
      type: "array",
      items: { type: "string", minLength: 1 },
      default: ["server", "x-powered-by", "x-aspnet-version", "x-aspnetmvc-version"],
      description: "Headers of the upstream to remove.",
    },
    override: {
      type: "boolean",
      default: false,
      description:
        "Replace these headers where the upstream sent its own; it knows its pages, so it wins otherwise.",
    },
  },
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

export const securityHeaders: Plugin<Options> = {
  name: "security-headers",
  schema,
  build(options) {
    const fields = writeFields(options);
    const hsts = options.strictTransportSecurity;
    const secureFields =
      typeof hsts === "boolean"
        ? fields
        : [...fields, "strict-transport-security", strictTransportSecurity(hsts, "/strictTransportSecurity")];
    const plainFields = typeof hsts !== "boolean" && hsts.force ? secureFields : fields;
    const removed = options.remove.map((name, i) => compileHeaderName(name, `/remove/${i}`));
    const put = options.override ? replaceFields : addMissingFields;

    return (next) => (x) =>
      editReplyHeaders(x, next, (headers) => {
        for (const name of removed) headers.delete(name);
        put(headers, x.scheme === "https" ? secureFields : plainFields);
      });
  },
};

/** The fields that do not depend on the exchange, flat. */
function writeFields(o: Options): string[] {
  const fields: string[] = [];
  const add = (name: string, value: string | false): void => {
    if (value !== false) fields.push(name, value);
  };
  const policy = o.contentSecurityPolicy;
  add(
    o.reportOnly ? "content-security-policy-report-only" : "content-security-policy",
    policy === false ? false : contentSecurityPolicy(policy, "/contentSecurityPolicy"),
  );
  add("x-frame-options", o.frameOptions);
  add("x-content-type-options", o.contentTypeOptions && "nosniff");
  add(
    "referrer-policy",
    typeof o.referrerPolicy === "object" ? o.referrerPolicy.join(", ") : o.referrerPolicy,
  );
  const permissions = o.permissionsPolicy;
  add(
    "permissions-policy",
    permissions === false ? false : permissionsPolicy(permissions, "/permissionsPolicy"),
  );
  add("cross-origin-opener-policy", o.crossOriginOpenerPolicy);
  add("cross-origin-embedder-policy", o.crossOriginEmbedderPolicy);
  add("cross-origin-resource-policy", o.crossOriginResourcePolicy);
  add("x-xss-protection", o.xssProtection);
  return fields;
}

// Values were checked in build, so they go straight into the raw list.

function addMissingFields(headers: HeaderList, fields: readonly string[]): void {
  for (let i = 0; i < fields.length; i += 2) {
    if (!headers.has(fields[i]!)) headers.raw.push(fields[i]!, fields[i + 1]!);
  }
}

function replaceFields(headers: HeaderList, fields: readonly string[]): void {
  for (let i = 0; i < fields.length; i += 2) {
    headers.delete(fields[i]!);
    headers.raw.push(fields[i]!, fields[i + 1]!);
  }
}
