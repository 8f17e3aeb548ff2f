/** Names and passwords that are sent with each request (RFC 7617). */
import { noPassword } from "../../core/password-hash.ts";
import type { Exchange, FromSchema, HeaderList, Host } from "../../core/plugin.ts";
import { headerPlace } from "./credential.ts";
import type { Finding, Method } from "./method.ts";
import { Passwords } from "./passwords.ts";

/** Longer ones are not looked at. */
const MOST_CHARS = 1024;
const IS_BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const CONTROL = /\p{Cc}/u;

export const basicOptions = {
  type: "object",
  description: "A name and a password in `authorization`.",
  properties: {
    keep: {
      type: "boolean",
      default: false,
      description: "Leave the credential in the request: the upstream sees it then.",
    },
  },
  additionalProperties: false,
} as const;

type Options = FromSchema<typeof basicOptions>;

export function createBasic({ keep }: Options, host: Host): Method {
  const { consumers, clock } = host;
  const passwords = host.keep("auth passwords", () => new Passwords());
  // So that names which nobody has take as long as those which somebody has.
  const nobody = noPassword(consumers.anyUser()?.passwordHash);
  const challenge = 'Basic realm="sluice", charset="UTF-8"';
  return {
    name: "basic",
    challenge,
    rejection: challenge,
    places: [headerPlace("authorization", readBasic)],
    identify(x: Exchange): Finding | Promise<Finding> {
      const text = readBasic(x.headers);
      if (text === undefined) return "absent";
      if (!keep) x.headers.delete("authorization");
      const pair = parsePair(text);
      if (pair === undefined) return "invalid";
      const user = consumers.user(pair.username);
      const findingOf = (isRight: boolean): Finding =>
        isRight && user !== undefined && clock.now() < user.expiresAt ? user.consumer : "invalid";
      const result = passwords.check(pair.username, pair.password, user?.passwordHash ?? nobody);
      if (result === undefined) return "unavailable";
      return typeof result === "boolean" ? findingOf(result) : result.then(findingOf);
    },
  };
}

/** What follows the scheme; empty when there are two headers, so that nobody can tell which counts. */
function readBasic(headers: HeaderList): string | undefined {
  const lines = headers.getAll("authorization");
  if (lines.length > 1) return "";
  const match = /^basic(?:[ \t]+(.*))?$/i.exec(lines[0] ?? "");
  return match === null ? undefined : (match[1] ?? "");
}

function parsePair(text: string): { username: string; password: string } | undefined {
  if (text.length > MOST_CHARS || !IS_BASE64.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64");
  const decoded = bytes.toString().normalize("NFC");
  const colon = decoded.indexOf(":");
  if (colon === -1 || CONTROL.test(decoded)) return undefined;
  return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}
