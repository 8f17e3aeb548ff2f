/**
 * Checks passwords, which is dear on purpose: one at a time in each thread, a few in all of them, and not in the thread
 * itself. What came of it is remembered under a digest with a key that nobody knows, for the right ones and for the wrong ones.
 */
import { hash, randomBytes } from "node:crypto";
import type { User } from "../../core/consumers.ts";
import { isPassword, type PasswordHash } from "../../core/password-hash.ts";
import type { Clock, Host } from "../../core/plugin.ts";
import { type BcryptHash, isBcryptPassword } from "./bcrypt.ts";
import type { Finding } from "./method.ts";
import { Recent } from "../../core/recent.ts";
import { Turns } from "./turns.ts";

/** Passwords that wait to be looked at; it takes a tenth of a second each, and whoever likes can ask for it. */
const MOST_WAITING = 50;
const MOST_KNOWN = 10_000;

export class Passwords {
  readonly #turns: Turns;
  readonly #secret = randomBytes(32).toString("base64");
  readonly #right = new Recent<true>(MOST_KNOWN, Number.POSITIVE_INFINITY, () => 0);
  /** Apart from the others, which wrong ones must not push out. */
  readonly #wrong = new Recent<true>(MOST_KNOWN, Number.POSITIVE_INFINITY, () => 0);
  readonly #pending = new Map<string, Promise<boolean>>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(turns: Turns) {
    this.#turns = turns;
  }

  /** Those that the gateway keeps under `key`. */
  static of(host: Host, key: "auth passwords" | "auth keys"): Passwords {
    const turns = Turns.of(host);
    return host.keep(key, () => new Passwords(turns));
  }

  /**
   * Finds out whether a password is somebody's.
   * @param expected what is looked at where nobody has the name, which takes as long
   */
  identify(
    username: string,
    password: string,
    user: Pick<User, "consumer" | "expiresAt"> | undefined,
    expected: PasswordHash | BcryptHash,
    clock: Clock,
  ): Finding | Promise<Finding> {
    const findingOf = (isRight: boolean): Finding =>
      isRight && user !== undefined && clock.now() < user.expiresAt ? user.consumer : "invalid";
    const result = this.#check(username, password, expected);
    if (result === undefined) return "unavailable";
    return typeof result === "boolean" ? findingOf(result) : result.then(findingOf);
  }

  /** @returns undefined when too many wait */
  #check(
    username: string,
    password: string,
    expected: PasswordHash | BcryptHash,
  ): boolean | Promise<boolean> | undefined {
    const isBcrypt = "text" in expected;
    const id = isBcrypt ? expected.text : expected.hash.toString("hex");
    const parts = [this.#secret, id, username, password];
    const key = hash("sha256", JSON.stringify(parts), "base64url");
    if (this.#right.get(key)) return true;
    if (this.#wrong.get(key)) return false;
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    if (this.#pending.size >= MOST_WAITING) return undefined;
    const result = this.#last
      .then(() =>
        this.#turns.run(() =>
          isBcrypt ? isBcryptPassword(password, expected) : isPassword(password, expected),
        ),
      )
      .then((isRight) => {
        (isRight ? this.#right : this.#wrong).set(key, true);
        return isRight;
      })
      .finally(() => this.#pending.delete(key));
    this.#pending.set(key, result);
    this.#last = result.catch(() => {}); // whoever asked is told
    return result;
  }
}
