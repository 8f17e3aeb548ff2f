/**
 * Keys: what requests are told apart by, for stages that count or choose by consumer, address, header and so on.
 * One way to write them for all plugins.
 */
import { ConfigError } from "./errors.ts";
import type { FromSchema } from "json-schema-to-ts";
import { isHeaderName } from "./headers.ts";
import { compileTemplate, type Template } from "./template.ts";

/** Templates of the keys that have a name. */
const NAMED = {
  ip: "{client.ip}",
  consumer: "{consumer.name}",
  tier: "{consumer.tier}",
  credential: "{consumer.credential}",
  route: "{route.name}",
  host: "{request.host}",
  path: "{request.path}",
  method: "{request.method}",
} as const;

const part = <const K extends string, const X extends string>(key: K, description: X) =>
  ({
    type: "object",
    properties: { [key]: { type: "string", minLength: 1, description } } as Record<
      K,
      { type: "string"; minLength: 1; description: X }
    >,
    required: [key],
    additionalProperties: false,
  }) as const;

/** A schema for a key. */
export const keySchema = <const X extends string>(description: X) =>
  ({
    description,
    anyOf: [
      { type: "string", enum: Object.keys(NAMED) as (keyof typeof NAMED)[], "x-reference": "key" },
      {
        type: "string",
        "x-reference": "key",
        pattern: "\\{.+\\}",
        "x-expected": "a name such as ip or consumer, or a template such as {request.header.x-tenant}",
      },
      part("header", "Name of a request header."),
      part("cookie", "Name of a cookie."),
      part("query", "Name of a query parameter."),
      part("param", "Name of a parameter of the route's path."),
      part("claim", "Name of a claim of the consumer."),
    ],
  }) as const;

/** A key as options have it. */
export type KeyOption = FromSchema<ReturnType<typeof keySchema<string>>>;

/** True for a key, as a text, that is had only where it is known who asks. */
export function isOfConsumer(key: string): boolean {
  return (Object.hasOwn(NAMED, key) ? NAMED[key as keyof typeof NAMED] : key).includes("{consumer.");
}

/**
 * Compiles a key.
 * @returns gives the key of an exchange; undefined when what it is made of is absent
 * @throws ConfigError at `pointer`
 */
export function compileKey(
  option: KeyOption,
  pointer: string,
): (x: Parameters<Template>[0]) => string | undefined {
  const [[kind, name] = ["", ""]] = typeof option === "string" ? [] : Object.entries(option);
  if ((kind === "header" || kind === "cookie") && !isHeaderName(name)) {
    throw new ConfigError(`"${name}" is not the name of a ${kind}`, pointer);
  }
  try {
    return compileTemplate(toTemplate(option));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(error.problems.map((problem) => ({ ...problem, pointer })));
  }
}

function toTemplate(option: KeyOption): string {
  if (typeof option === "string")
    return Object.hasOwn(NAMED, option) ? NAMED[option as keyof typeof NAMED] : option;
  if ("param" in option) return `{${option.param}}`;
  if ("claim" in option) return `{consumer.claim.${option.claim}}`;
  const [[kind, name] = ["", ""]] = Object.entries(option);
  return `{request.${kind}.${name}}`;
}
