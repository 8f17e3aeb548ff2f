/** The cookie that remembers which branch a client was given. */
import type { FromSchema, JsonSchema } from "../../core/plugin.ts";
import { compileSetCookie, setCookieProperties } from "../../core/set-cookie.ts";

export const cookieSchema = {
  type: "object",
  description:
    "Remembers the branch that a client was given in a cookie that this stage sets; unlike `by`, it also holds when weights change.",
  properties: {
    name: {
      type: "string",
      minLength: 1,
      description: "Name of the cookie; its value is the branch's name.",
    },
    ...setCookieProperties,
  },
  required: ["name"],
  additionalProperties: false,
} as const satisfies JsonSchema;

export type CookieOptions = FromSchema<typeof cookieSchema>;

/** The Set-Cookie values of one branch. */
export interface BranchCookie {
  readonly http: string;
  readonly https: string;
}

/**
 * Compiles the cookies of branches.
 * @throws ConfigError at `pointer` for what browsers would refuse
 */
export function compileCookies(
  options: CookieOptions,
  branches: readonly string[],
  pointer: string,
): ReadonlyMap<string, BranchCookie> {
  const { name, attributes, secureAttributes } = compileSetCookie(options.name, options, pointer, "name");
  return new Map(
    branches.map((branch) => {
      const pair = `${name}=${branch}`;
      return [branch, { http: pair + attributes, https: pair + secureAttributes }];
    }),
  );
}
