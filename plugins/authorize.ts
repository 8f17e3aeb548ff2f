/**
 * Lets requests pass by who asks and for what: roles, scopes, claims, methods, paths.
 *
 * Stands below `auth`; calls next when a rule of `allow` fits and none of `deny`. Everybody else sees 403 FORBIDDEN,
 * whatever the reason: nobody is allowed what no rule allows, also those of whom nobody knows who they are.
 * Nothing it depends on can fail.
 */
import {
  type Exchange,
  type FromSchema,
  GatewayError,
  type JsonSchema,
  type Plugin,
  type Stage,
} from "../core/plugin.ts";
import { childPointer } from "../core/pointer.ts";
import { compileRule, consumerNeeds, type Rule, ruleSchema } from "./authorize/rule.ts";

const schema = {
  type: "object",
  description: "Lets requests pass by who asks and for what.",
  properties: {
    allow: {
      type: "array",
      items: ruleSchema,
      minItems: 1,
      description: "Rules of which one must fit.",
    },
    deny: { type: "array", items: ruleSchema, default: [], description: "Rules of which none may fit." },
  },
  required: ["allow"],
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

/** Counts of a stage; they outlive its generation. */
class Counts {
  allowed = 0;
  denied = 0;
}

export const authorize: Plugin<Options> = {
  name: "authorize",
  schema,
  guard: true,
  authorizes: true,
  needsConsumer: ({ allow, deny }) =>
    [...allow.map(neededIn("/allow")), ...deny.map(neededIn("/deny"))].flat(),
  build({ allow, deny }, host): Stage {
    const { metrics, route, stage } = host;
    const compile = (rules: Options["deny"], pointer: string): Rule[] =>
      rules.map((rule, i) => compileRule(rule, childPointer(pointer, i)));
    const allowed = compile(allow, "/allow");
    const denied = compile(deny, "/deny");
    const counts = host.keep(`authorize counts ${route} ${stage}`, () => new Counts());
    metrics.collect(
      "sluice_authorize_requests_total",
      "Requests by whether they were `allowed` or `denied`.",
      "counter",
      () => [
        [{ route, stage, outcome: "allowed" }, counts.allowed],
        [{ route, stage, outcome: "denied" }, counts.denied],
      ],
    );
    const audit = {
      allowed: host.audit.recorder("authorize", "allowed"),
      refused: host.audit.recorder("authorize", "refused"),
    };
    return (next) => (x) => {
      if (fitsOne(denied, x) || !fitsOne(allowed, x)) {
        counts.denied++;
        audit.refused?.record(x);
        throw new GatewayError("FORBIDDEN");
      }
      counts.allowed++;
      audit.allowed?.record(x);
      return next(x);
    };
  },
};

const neededIn = (list: string) => (rule: Options["deny"][number], i: number) =>
  consumerNeeds(rule).map((key) => childPointer(childPointer(list, i), key));

function fitsOne(rules: readonly Rule[], x: Exchange): boolean {
  for (const rule of rules) if (rule(x)) return true;
  return false;
}
