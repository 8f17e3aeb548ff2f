/**
 * Checks passwords, which is dear on purpose: one at a time in each thread, not in the thread itself. What came of it is
 * remembered under a digest with a key that nobody knows, for the right ones and for the wrong ones.
 */
import { hash, randomBytes } from "node:crypto";
import { isPassword, type PasswordHash } from "../../core/password-hash.ts";
import { Recent } from "./recent.ts";

/** Passwords that wait to be looked at; it takes a tenth of a second each, and whoever likes can ask for it. */
const MOST_WAITING = 50;
const MOST_KNOWN = 10_000;

export class Passwords {
  readonly #secret = randomBytes(32).toString("base64");
  readonly #right = new Recent<true>(MOST_KNOWN, Number.POSITIVE_INFINITY, () => 0);
  /** Apart from the others, which wrong ones must not push out. */
  readonly #wrong = new Recent<true>(MOST_KNOWN, Number.POSITIVE_INFINITY, () => 0);
  readonly #pending = new Map<string, Promise<boolean>>();
  #last: Promise<unknown> = Promise.resolve();

  /** @returns undefined when too many wait */
  check(username: string, password: string, expected: PasswordHash): boolean | Promise<boolean> | undefined {
    const parts = [this.#secret, expected.hash.toString("hex"), username, password];
    const key = hash("sha256", JSON.stringify(parts), "base64url");
    if (this.#right.get(key)) return true;
    if (this.#wrong.get(key)) return false;
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    if (this.#pending.size >= MOST_WAITING) return undefined;
    const result = this.#last
      .then(() => isPassword(password, expected))
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
