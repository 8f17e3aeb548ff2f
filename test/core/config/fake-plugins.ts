/** Plugins that only have schemas, so that tests of configuration do not depend on the real ones. */
import type { Catalogue, JsonSchema, Plugin } from "../../../core/plugin.ts";
import { UNITS } from "../../../core/units.ts";
import { auth } from "../../../plugins/auth.ts";
import { authorize } from "../../../plugins/authorize.ts";
import { limitSchema } from "../../../plugins/limit/schema.ts";
import { csrf } from "../../../plugins/csrf.ts";
import { oauth2Client } from "../../../plugins/oauth2-client.ts";
import { oidcLogin } from "../../../plugins/oidc-login.ts";
import { script } from "../../../plugins/script.ts";
import { sign } from "../../../plugins/sign.ts";
import { validate } from "../../../plugins/validate.ts";

const map = (properties: JsonSchema["properties"], more: object = {}): JsonSchema => ({
  type: "object",
  description: "A fake.",
  ...(properties === undefined ? {} : { properties }),
  additionalProperties: false,
  ...more,
});

const upstream = { type: "string", minLength: 1, "x-reference": "upstream", description: "An upstream." };

const balance = map(
  {
    upstream,
    strategy: {
      type: "string",
      enum: ["round-robin", "random"],
      default: "round-robin",
      description: "How.",
    },
  },
  { required: ["upstream"] },
);

const respond = map({
  status: { type: "integer", minimum: 200, maximum: 599, default: 200, description: "Status." },
  body: { type: "string", default: "", description: "Body." },
  headers: { type: "object", additionalProperties: { type: "string" }, default: {}, description: "Headers." },
});

const stamp = map({
  text: { type: "string", default: "stamped", description: "A text." },
  count: { type: "integer", minimum: 1, maximum: 10, default: 1, description: "A number." },
  loud: { type: "boolean", default: false, description: "A boolean." },
  delay: { type: "string", pattern: UNITS.duration.pattern, default: "10ms", description: "A duration." },
  limit: { type: "string", pattern: UNITS.size.pattern, description: "A size." },
  share: { type: "string", pattern: UNITS.percent.pattern, description: "A percentage." },
  mode: { type: "string", enum: ["fast", "careful"], description: "A choice." },
  code: {
    type: "string",
    pattern: "^[a-z]{3}-\\d+$",
    description: "A text of a form that nothing explains.",
  },
  token: { type: "string", writeOnly: true, description: "A secret." },
  keys: {
    type: "array",
    items: map({
      id: { type: "string", description: "Name." },
      value: { type: "string", writeOnly: true, description: "Secret." },
    }),
    uniqueItems: true,
    description: "Secrets in a list.",
  },
  mirror: { ...upstream, description: "Another upstream." },
  store: { type: "string", "x-reference": "store", description: "A store." },
});

/** One of two keys must be there, and a key with several forms. */
const choose = map(
  {
    allow: { type: "array", items: { type: "string" }, minItems: 1, description: "Allowed." },
    deny: { type: "array", items: { type: "string" }, minItems: 1, description: "Denied." },
    target: {
      description: "Several forms.",
      anyOf: [
        map(
          { kind: { const: "file", description: "Kind." }, path: { type: "string", description: "Path." } },
          { required: ["kind", "path"] },
        ),
        map(
          { kind: { const: "url", description: "Kind." }, url: { type: "string", description: "URL." } },
          { required: ["kind", "url"] },
        ),
        { type: "string", enum: ["none"] },
      ],
    },
    word: {
      description: "A word, or text with braces.",
      anyOf: [
        { type: "string", enum: ["consumer", "route"] },
        { type: "string", pattern: "\\{.+\\}", "x-expected": "a word or a template" },
      ],
    },
    first: { type: "string", description: "Needs second." },
    second: { type: "string", description: "Second." },
  },
  { anyOf: [{ required: ["allow"] }, { required: ["deny"] }], dependencies: { first: ["second"] } },
);

const exclusive = map(
  { left: { type: "string", description: "Left." }, right: { type: "string", description: "Right." } },
  { oneOf: [{ required: ["left"] }, { required: ["right"] }] },
);

/** Says who asks. */
const who = map({});

function plugin(name: string, schema: JsonSchema, more: Partial<Plugin> = {}): Plugin {
  return { name, schema, build: () => (next) => next, ...more };
}

/** A real one that is not built. */
const fake = (real: Plugin): Plugin => ({ ...real, build: () => (next) => next });

const PLUGINS = [
  plugin("balance", balance, { terminal: true }),
  plugin("choose", choose),
  plugin("copy", map({ upstream }), { harmAboveAuth: () => "would copy what is refused there" }),
  plugin("exclusive", exclusive),
  fake(auth),
  fake(authorize),
  plugin("limit", limitSchema),
  plugin("csrf", csrf.schema),
  plugin("validate", validate.schema),
  plugin("oauth2-client", oauth2Client.schema),
  fake(oidcLogin),
  plugin("respond", respond, { terminal: true }),
  script,
  plugin("sign", sign.schema),
  plugin("stamp", stamp, { authorizes: true }),
  plugin("who", who, { identifies: true }),
];

export const fakeCatalogue: Catalogue = new Map(PLUGINS.map((p) => [p.name, p]));

/** The environment that tests of configuration run in. */
export const ENV: Readonly<Record<string, string>> = {
  PORT: "8080",
  COUNT: "3",
  LOUD: "true",
  MANY: "many",
  EMPTY: "",
  SECRET: "hunter2-from-env",
  UPSTREAM: "users",
  USERS_URL: "http://127.0.0.1:8081",
};
