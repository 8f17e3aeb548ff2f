/** Names and passwords that are sent with each request (RFC 7617). */
import type { User } from "../../core/consumers.ts";
import { noPassword } from "../../core/password-hash.ts";
import {
  ConfigError,
  type Exchange,
  type FromSchema,
  type HeaderList,
  type Host,
} from "../../core/plugin.ts";
import { loadBcrypt, noBcrypt } from "./bcrypt.ts";
import { headerPlace } from "./credential.ts";
import { type ListedHash, parseHtpasswd } from "./htpasswd.ts";
import type { Finding, Method } from "./method.ts";
import { Passwords } from "./passwords.ts";

/** Longer ones are not looked at. */
const MOST_CHARS = 1024;
/** Hashes by bcrypt that are less work are told of; `htpasswd` makes them with 5 unless told otherwise. */
const USUAL_COST = 10;
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
    htpasswd: {
      type: "string",
      writeOnly: true,
      description: "Names and hashes of more passwords, `name:hash` in each line: `${file:users.htpasswd}`.",
    },
  },
  additionalProperties: false,
} as const;

type Options = FromSchema<typeof basicOptions>;

type ListedUser = Omit<User, "passwordHash"> & { readonly passwordHash: ListedHash };

/** @throws ConfigError at `pointer` */
export async function createBasic({ keep, htpasswd }: Options, pointer: string, host: Host): Promise<Method> {
  const { consumers, clock } = host;
  const passwords = Passwords.of(host, "auth passwords");
  const listed = listUsers(htpasswd ?? "", `${pointer}/htpasswd`, host);
  await prepareBcrypt(listed, pointer, host);
  const anybody: ListedUser | undefined = listed.values().next().value ?? consumers.anyUser();
  // So that names which nobody has take as long as those which somebody has.
  const nobody = noPasswordLike(anybody?.passwordHash);
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
      const { username, password } = pair;
      const user = listed.get(username) ?? consumers.user(username);
      return passwords.identify(username, password, user, user?.passwordHash ?? nobody, clock);
    },
  };
}

/** Users of a file: as consumers of the configuration where there are some of their names. */
function listUsers(text: string, pointer: string, { consumers }: Host): Map<string, ListedUser> {
  const users = new Map<string, ListedUser>();
  for (const [name, passwordHash] of parseHtpasswd(text, pointer)) {
    if (consumers.user(name) !== undefined) {
      throw new ConfigError(`A consumer has the name ${name} already`, pointer, "CONFIG_DUPLICATE_NAME");
    }
    const consumer = { ...(consumers.get(name) ?? { name, roles: [] }), credential: name };
    users.set(name, { consumer, passwordHash, expiresAt: Number.POSITIVE_INFINITY });
  }
  return users;
}

/** Loads what looks at bcrypt, if anybody has it, and tells once where it is too easy to try out. */
async function prepareBcrypt(
  users: ReadonlyMap<string, ListedUser>,
  pointer: string,
  host: Host,
): Promise<void> {
  const costs = [...users.values()].flatMap(({ passwordHash }) =>
    "text" in passwordHash ? [passwordHash.cost] : [],
  );
  if (costs.length === 0) return;
  await loadBcrypt();
  const weak = costs.filter((cost) => cost < USUAL_COST).length;
  if (weak > 0 && host.shared.thread === 0) {
    host.log.warn(
      { route: host.route, stage: host.stage, pointer, weak },
      "htpasswd has bcrypt hashes of a cost below 10",
    );
  }
}

function noPasswordLike(hash: ListedHash | undefined): ListedHash {
  return hash !== undefined && "text" in hash ? noBcrypt(hash) : noPassword(hash);
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
