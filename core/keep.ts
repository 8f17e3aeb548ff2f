/**
 * What outlives a swap: values shared by generations under a key, closed when the last generation that used
 * them is.
 */
import { createHash } from "node:crypto";

/**
 * A key for what is the same as long as its options are.
 * @param name what it is, for people
 * @param options plain data; only a digest of them is in the key, because they may hold secrets
 */
export function keyOf(name: string, options: unknown): string {
  return `${name} ${createHash("sha256").update(JSON.stringify(options)).digest("base64url")}`;
}

interface Closable {
  close?(): void | Promise<void>;
}

interface Kept {
  value: Closable;
  users: number;
}

export class KeepStore {
  readonly #kept = new Map<string, Kept>();

  /** Opens a generation's view. */
  lease(): Lease {
    return new Lease(this.#kept);
  }

  /** Keys of what is kept, for tests. */
  keys(): string[] {
    return [...this.#kept.keys()];
  }
}

/** The kept values that one generation uses. */
export class Lease {
  readonly #kept: Map<string, Kept>;
  readonly #used = new Set<string>();

  constructor(kept: Map<string, Kept>) {
    this.#kept = kept;
  }

  /** The value kept under `key`, made by `create` if there is none. */
  keep<T extends object>(key: string, create: () => T): T {
    let entry = this.#kept.get(key);
    if (entry === undefined) {
      entry = { value: create(), users: 0 };
      this.#kept.set(key, entry);
    }
    if (!this.#used.has(key)) {
      this.#used.add(key);
      entry.users++;
    }
    return entry.value as T;
  }

  /** Lets go of everything; values that nobody else uses are closed. */
  async release(): Promise<void> {
    const unused = [...this.#used].flatMap((key) => {
      const entry = this.#kept.get(key)!;
      if (--entry.users > 0) return [];
      this.#kept.delete(key);
      return [entry.value];
    });
    this.#used.clear();
    await Promise.all(unused.map((value) => value.close?.()));
  }
}
