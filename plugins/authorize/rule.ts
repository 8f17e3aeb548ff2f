/** Rules about who may do what. */
import { conditionSchema, pathMatchSchema, valueMatches } from "../../core/config/condition-schema.ts";
import { compileCondition, compileValue } from "../../core/match.ts";
import type { Consumer, Exchange, FromSchema } from "../../core/plugin.ts";
import { childPointer } from "../../core/pointer.ts";

const names = <const X extends string>(description: X) =>
  ({ type: "array", items: { type: "string", minLength: 1 }, minItems: 1, description }) as const;

/** Names of which one may have some. */
const namesSchema = <const X extends string>(description: X) =>
  ({
    description,
    anyOf: [
      names("One of these."),
      {
        type: "object",
        properties: {
          any: names("One of these."),
          all: names("All of these."),
          none: names("None of these."),
        },
        minProperties: 1,
        additionalProperties: false,
      },
    ],
  }) as const;

export const ruleSchema = {
  type: "object",
  description: "All that is said here must hold.",
  properties: {
    method: conditionSchema.properties.method,
    path: pathMatchSchema,
    consumer: conditionSchema.properties.consumer,
    roles: namesSchema("Roles of the consumer: a list for one of them, or `any`, `all` and `none`."),
    scopes: namesSchema(
      "Scopes of its token, from the claim `scope` or `scp`: a list for one of them, or `any`, `all` and `none`.",
    ),
    claims: valueMatches("Claims of the consumer by name; of a list, one value must match."),
  },
  minProperties: 1,
  additionalProperties: false,
} as const;

type RuleOptions = FromSchema<typeof ruleSchema>;
type Names = NonNullable<RuleOptions["roles"]>;
/** Says whether a rule fits. */
export type Rule = (x: Exchange) => boolean;

const NONE: readonly string[] = [];

/** @throws ConfigError with pointers that begin with `pointer` */
export function compileRule(options: RuleOptions, pointer: string): Rule {
  const { method, path, consumer, roles, scopes, claims = {} } = options;
  const tests: Rule[] = [];
  if (method !== undefined || path !== undefined || consumer !== undefined) {
    const condition = {
      ...(method === undefined ? {} : { method }),
      ...(path === undefined ? {} : { path }),
      ...(consumer === undefined ? {} : { consumer }),
    };
    tests.push(compileCondition(condition, pointer));
  }
  if (roles !== undefined) {
    const test = compileNames(roles);
    tests.push((x) => test(x.consumer?.roles ?? NONE));
  }
  if (scopes !== undefined) {
    const test = compileNames(scopes);
    tests.push((x) => test(scopesOf(x.consumer)));
  }
  for (const [name, match] of Object.entries(claims)) {
    const test = compileValue(match, childPointer(`${pointer}/claims`, name));
    tests.push((x) => claimsOf(x.consumer, name).some(test));
  }
  return (x) => {
    for (const test of tests) if (!test(x)) return false;
    return true;
  };
}

/** The keys of a rule that never fit requests of whom nobody knows who sent them. */
export function consumerNeeds({ consumer, roles, scopes, claims = {} }: RuleOptions): string[] {
  const keys: string[] = [];
  if (consumer !== undefined && consumer !== false) keys.push("consumer");
  if (roles !== undefined && needsOne(roles)) keys.push("roles");
  if (scopes !== undefined && needsOne(scopes)) keys.push("scopes");
  if (Object.values(claims).some((match) => match !== false)) keys.push("claims");
  return keys;
}

const needsOne = (names: Names): boolean => "length" in names || (names.any ?? names.all) !== undefined;

function compileNames(names: Names): (given: readonly string[]) => boolean {
  const { any: some, all = [], none = [] } = "length" in names ? { any: names } : names;
  return (given) => {
    for (const name of none) if (given.includes(name)) return false;
    for (const name of all) if (!given.includes(name)) return false;
    if (some === undefined) return true;
    for (const name of some) if (given.includes(name)) return true;
    return false;
  };
}

/** What a token allows (RFC 8693 section 4.2, RFC 9068 section 2.2.3). */
function scopesOf(consumer: Consumer | undefined): readonly string[] {
  const { scope, scp = scope } = consumer?.claims ?? {};
  if (typeof scp === "string") return scp.split(" ");
  return Array.isArray(scp) ? scp.map(String) : NONE;
}

/** The values of a claim as texts: one that is undefined for a claim that is not there. */
function claimsOf(consumer: Consumer | undefined, name: string): readonly (string | undefined)[] {
  const claims = consumer?.claims;
  if (claims === undefined || !Object.hasOwn(claims, name)) return [undefined];
  const value = claims[name];
  return (Array.isArray(value) ? value : [value]).map((each) =>
    typeof each === "string" ? each : JSON.stringify(each),
  );
}
