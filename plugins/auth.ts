/**
 * Finds out who asks: a consumer, by the credential that the request has.
 *
 * Stands early, above everything that depends on who asks; calls next for those it knows, with `x.consumer` set.
 * Others see 401 UNAUTHENTICATED, which does not tell what was wrong. Methods are tried in their order: the first
 * whose kind of credential is there decides. With `optional`, requests without any credential pass, known to nobody; a
 * wrong one is refused all the same. Credentials are taken from the request unless a method's `keep` says otherwise.
 * `onError: skip` is refused. Nothing it depends on can fail.
 */
import {
  type Consumer,
  type Exchange,
  type FromSchema,
  GatewayError,
  type Handler,
  type Host,
  type JsonSchema,
  type Plugin,
  type Reply,
} from "../core/plugin.ts";
import { apiKeyOptions, createApiKey } from "./auth/api-key.ts";
import { AuthStats } from "./auth/stats.ts";
import type { Finding, Method } from "./auth/method.ts";

const schema = {
  type: "object",
  description: "Finds out who asks.",
  properties: {
    methods: {
      type: "array",
      minItems: 1,
      items: {
        anyOf: [
          { type: "string", enum: ["apiKey"] },
          {
            type: "object",
            properties: { apiKey: apiKeyOptions },
            required: ["apiKey"],
            additionalProperties: false,
          },
        ],
      },
      description: "How one may show who one is, in the order in which they are tried: `apiKey`.",
    },
    optional: {
      type: "boolean",
      default: false,
      description: "Requests without a credential pass too, known to nobody.",
    },
    identityHeaders: {
      type: "boolean",
      default: false,
      description: "Tell the upstream who asks, in `x-consumer-name` and `x-consumer-roles`.",
    },
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
  build({ methods, optional, identityHeaders }, host) {
    const compiled = methods.map((method, i) => compileMethod(method, i, host));
    const stats = host.keep(`auth stats ${host.route} ${host.stage}`, () => new AuthStats());
    stats.collect(host);
    const refusal = new GatewayError("UNAUTHENTICATED", {
      headers: compiled.flatMap(({ challenge }) => ["www-authenticate", challenge]),
    });
    const settle = (x: Exchange, finding: Finding, method: string, next: Handler) => {
      stats.count(method, finding);
      if (typeof finding === "string") throw refusal;
      x.consumer = finding;
      if (identityHeaders) tell(x, finding);
      return next(x);
    };
    const proceed = (x: Exchange, from: number, next: Handler): Reply | Promise<Reply> => {
      for (let i = from; i < compiled.length; i++) {
        const { name } = compiled[i]!;
        const finding = compiled[i]!.identify(x);
        if (finding instanceof Promise) {
          return finding.then((late) =>
            late === "absent" ? proceed(x, i + 1, next) : settle(x, late, name, next),
          );
        }
        if (finding !== "absent") return settle(x, finding, name, next);
      }
      stats.count("none", "absent");
      if (!optional) throw refusal;
      return next(x);
    };
    return (next) => (x) => proceed(x, 0, next);
  },
};

function compileMethod(option: Options["methods"][number], i: number, host: Host): Method {
  const options = typeof option === "string" ? { keep: false } : option.apiKey;
  return createApiKey(options, `/methods/${i}/apiKey`, host);
}

function tell(x: Exchange, { name, roles }: Consumer): void {
  x.headers.setChecked("x-consumer-name", name);
  if (roles.length > 0) x.headers.setChecked("x-consumer-roles", roles.join(","));
}
