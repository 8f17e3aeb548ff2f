/**
 * Finds out who asks: a consumer, by the credential that the request has.
 *
 * Stands early, above everything that depends on who asks; calls next for those it knows, with `x.consumer` set.
 * Others see 401 UNAUTHENTICATED, which does not tell what was wrong. Methods are tried in their order: the first
 * whose kind of credential is there decides. With `optional`, requests without any credential pass, known to nobody; a
 * wrong one is refused all the same. Credentials are taken from the request unless a method's `keep` says otherwise;
 * those of methods that were not asked always are.
 * `onError: skip` is refused. Where the keys of tokens cannot be had, or another server cannot be asked, the client sees
 * 503 AUTH_UNAVAILABLE, and 503 STORE_UNAVAILABLE where the nonces of signatures cannot be kept.
 */
import { withDashes } from "../core/headers.ts";
import { identityHeadersOption, introduceConsumer } from "../core/identity-headers.ts";
import {
  ConfigError,
  type Exchange,
  type FromSchema,
  GatewayError,
  type Handler,
  type Host,
  type JsonSchema,
  type Plugin,
  type Problem,
  type Reply,
} from "../core/plugin.ts";
import { apiKeyOptions, createApiKey } from "./auth/api-key.ts";
import { basicOptions, createBasic } from "./auth/basic.ts";
import { createForward } from "./auth/forward.ts";
import { forwardOptions } from "./auth/forward/options.ts";
import { createIntrospection } from "./auth/introspection.ts";
import { introspectionOptions } from "./auth/introspection/options.ts";
import { createJwt } from "./auth/jwt.ts";
import { jwtOptions } from "./auth/jwt/options.ts";
import { createMtls, mtlsOptions } from "./auth/mtls.ts";
import { createSignature, signatureOptions } from "./auth/signature.ts";
import { AuthStats } from "./auth/stats.ts";
import type { Finding, Method, Place } from "./auth/method.ts";

const schema = {
  type: "object",
  description: "Finds out who asks.",
  properties: {
    methods: {
      type: "array",
      minItems: 1,
      items: {
        anyOf: [
          { type: "string", enum: ["apiKey", "basic", "signature"] },
          {
            type: "object",
            properties: { apiKey: apiKeyOptions },
            required: ["apiKey"],
            additionalProperties: false,
          },
          {
            type: "object",
            properties: { basic: basicOptions },
            required: ["basic"],
            additionalProperties: false,
          },
          {
            type: "object",
            properties: { introspection: introspectionOptions },
            required: ["introspection"],
            additionalProperties: false,
          },
          {
            type: "object",
            properties: { jwt: jwtOptions },
            required: ["jwt"],
            additionalProperties: false,
          },
          {
            type: "object",
            properties: { mtls: mtlsOptions },
            required: ["mtls"],
            additionalProperties: false,
          },
          {
            type: "object",
            properties: { signature: signatureOptions },
            required: ["signature"],
            additionalProperties: false,
          },
          {
            type: "object",
            properties: { forward: forwardOptions },
            required: ["forward"],
            additionalProperties: false,
          },
        ],
      },
      description:
        "How one may show who one is, in the order in which they are tried: `apiKey`, `basic`, `jwt`, `introspection`, `signature`, `mtls`, `forward`.",
    },
    optional: {
      type: "boolean",
      default: false,
      description: "Requests without a credential pass too, known to nobody.",
    },
    identityHeaders: identityHeadersOption,
  },
  required: ["methods"],
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

export const auth: Plugin<Options> = {
  name: "auth",
  schema,
  guard: true,
  identifies: true,
  findsListedOnly: ({ methods }) => methods.every(findsListedOnly),
  async build({ methods, optional, identityHeaders }, host) {
    const compiled = await compileMethods(methods, host);
    const stats = host.keep(`auth stats ${host.route} ${host.stage}`, () => new AuthStats());
    stats.collect(host);
    const audit = {
      allowed: host.audit.recorder("auth", "allowed"),
      refused: host.audit.recorder("auth", "refused"),
    };
    /** Challenges of all methods; the one that found a wrong credential says so. */
    const refuse = (by?: Method): GatewayError =>
      new GatewayError("UNAUTHENTICATED", {
        headers: compiled.flatMap((method) => [
          "www-authenticate",
          method === by ? method.rejection : method.challenge,
        ]),
      });
    const refusal = refuse();
    const refusals = compiled.map(refuse);
    const replaced = compiled.flatMap((method) => method.replaces ?? []);
    const unseen = compiled.map((method) => placesBeside(method, compiled));
    const settle = (x: Exchange, finding: Exclude<Finding, "absent">, i: number, next: Handler) => {
      const method = compiled[i]!.name;
      stats.count(method, finding);
      if (typeof finding === "string") audit.refused?.record(x, { reason: finding, method });
      if (finding === "invalid") throw refusals[i]!;
      if (finding === "forbidden") throw forbidden;
      if (finding === "unavailable") throw unavailable;
      x.consumer = finding;
      for (const place of unseen[i]!) place.clear(x);
      if (replaced.length > 0) removeClaims(x, replaced);
      compiled[i]!.introduce?.(x, finding);
      if (identityHeaders) introduceConsumer(x, finding);
      audit.allowed?.record(x, { method });
      return next(x);
    };
    const proceed = (x: Exchange, from: number, next: Handler): Reply | Promise<Reply> => {
      for (let i = from; i < compiled.length; i++) {
        const finding = compiled[i]!.identify(x);
        if (finding instanceof Promise) {
          return finding.then((late) =>
            late === "absent" ? proceed(x, i + 1, next) : settle(x, late, i, next),
          );
        }
        if (finding !== "absent") return settle(x, finding, i, next);
      }
      stats.count("none", "absent");
      if (!optional) {
        audit.refused?.record(x, { reason: "absent" });
        throw refusal;
      }
      if (replaced.length > 0) removeClaims(x, replaced);
      return next(x);
    };
    return (next) => (x) => proceed(x, 0, next);
  },
};

/** Where the other methods look, and this one does not. */
function placesBeside({ places: own = [] }: Method, all: readonly Method[]): Place[] {
  const ids = own.map(({ id }) => id);
  return all.flatMap(({ places = [] }) => places.filter(({ id }) => !ids.includes(id)));
}

/** Tokens, files and other servers may name somebody whom the configuration does not. */
function findsListedOnly(option: Options["methods"][number]): boolean {
  if (typeof option === "string") return true;
  if ("forward" in option) return false;
  if ("basic" in option) return option.basic.htpasswd === undefined;
  if ("introspection" in option) return option.introspection.knownConsumers;
  if ("jwt" in option) return option.jwt.issuers.every(({ knownConsumers }) => knownConsumers);
  return true;
}

const forbidden = new GatewayError("FORBIDDEN");
const unavailable = new GatewayError("AUTH_UNAVAILABLE", { headers: ["retry-after", "5"] });

/** @throws ConfigError with what is wrong in any of them */
async function compileMethods(options: Options["methods"], host: Host): Promise<Method[]> {
  const methods: Method[] = [];
  const problems: Problem[] = [];
  for (const [i, option] of options.entries()) {
    try {
      methods.push(await compileMethod(option, i, host));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return methods;
}

function compileMethod(option: Options["methods"][number], i: number, host: Host): Method | Promise<Method> {
  const pointer = `/methods/${i}`;
  if (option === "apiKey") return createApiKey({ keep: false }, `${pointer}/apiKey`, host);
  if (option === "basic") return createBasic({ keep: false }, `${pointer}/basic`, host);
  if (option === "signature") return createSignature(undefined, `${pointer}/signature`, host);
  if ("mtls" in option) return createMtls(option.mtls, `${pointer}/mtls`, host);
  if ("signature" in option) return createSignature(option.signature, `${pointer}/signature`, host);
  if ("basic" in option) return createBasic(option.basic, `${pointer}/basic`, host);
  if ("forward" in option) return createForward(option.forward, `${pointer}/forward`, host);
  if ("introspection" in option) {
    return createIntrospection(option.introspection, `${pointer}/introspection`, host);
  }
  if ("jwt" in option) return createJwt(option.jwt, `${pointer}/jwt`, host);
  return createApiKey(option.apiKey, `${pointer}/apiKey`, host);
}

/** None that a client has sent may stay, nor what servers may take for one. */
function removeClaims({ headers }: Exchange, names: readonly string[]): void {
  for (const name of names) headers.delete(name);
  for (const name of headers.raw.filter((each, i) => i % 2 === 0 && withDashes(each) !== each)) {
    const lower = name.toLowerCase();
    if (names.some((each) => withDashes(each) === withDashes(lower))) headers.delete(lower);
  }
}
