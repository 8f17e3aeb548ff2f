/** Keys that are sent with each request: in a header, the query or a cookie. */
import type { FromSchema, HeaderList, Host } from "../../core/plugin.ts";
import { createReader, placeOptions } from "./credential.ts";
import type { Finding, Method } from "./method.ts";
import { Passwords } from "./passwords.ts";

/** Longer ones are not looked at. */
const MOST_CHARS = 1024;

export const apiKeyOptions = {
  type: "object",
  description: "A key in a header, the query or a cookie: in `x-api-key` unless something is said.",
  properties: placeOptions,
  additionalProperties: false,
} as const;

type Options = FromSchema<typeof apiKeyOptions>;

/** @throws ConfigError at `pointer` */
export function createApiKey(options: Options, pointer: string, host: Host): Method {
  const { consumers, clock } = host;
  const hashed = Passwords.of(host, "auth keys");
  const { read, places } = createReader(options, "x-api-key", joined, pointer);
  return {
    name: "apiKey",
    challenge: "ApiKey",
    rejection: "ApiKey",
    places,
    identify(x): Finding | Promise<Finding> {
      const key = read(x);
      if (key === undefined) return "absent";
      if (key.length > MOST_CHARS) return "invalid";
      const consumer = consumers.ofApiKey(key, clock.now());
      if (consumer !== undefined) return consumer;
      const user = consumers.ofKeyPrefix(key);
      return user === undefined ? "invalid" : hashed.identify("", key, user, user.passwordHash, clock);
    },
  };
}

const joined = (headers: HeaderList, name: string): string | undefined => headers.getJoined(name);
