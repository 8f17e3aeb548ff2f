/** Who is known to the gateway, found by what they show. */
import { hash } from "node:crypto";
import type { Consumer } from "./exchange.ts";

/** A key as the configuration has it once it is checked. */
export interface ApiKeyRecord {
  /** Tells it from other credentials of the consumer. */
  readonly id: string;
  /** Digest of the key, in hexadecimal. */
  readonly sha256: string;
  /** Milliseconds since the Unix epoch from when on it is not valid. */
  readonly expiresAt?: number;
  readonly roles?: readonly string[];
  readonly tier?: string;
}

/** A consumer as the configuration has it once it is checked: plain data, without a secret. */
export interface ConsumerRecord {
  readonly name: string;
  readonly roles: readonly string[];
  readonly tier?: string;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly apiKeys: readonly ApiKeyRecord[];
}

interface Entry {
  readonly consumer: Consumer;
  readonly expiresAt: number;
}

export class Consumers {
  readonly #byName = new Map<string, Consumer>();
  readonly #byKey = new Map<string, Entry>();

  constructor(records: readonly ConsumerRecord[]) {
    for (const { name, roles, tier, claims, apiKeys } of records) {
      const whole = { name, roles, ...(tier === undefined ? {} : { tier }), ...(claims && { claims }) };
      this.#byName.set(name, whole);
      for (const key of apiKeys) {
        const consumer = {
          ...whole,
          credential: key.id,
          ...(key.roles && { roles: key.roles }),
          ...(key.tier === undefined ? {} : { tier: key.tier }),
        };
        this.#byKey.set(key.sha256, { consumer, expiresAt: key.expiresAt ?? Number.POSITIVE_INFINITY });
      }
    }
  }

  /** A consumer by its name. */
  get(name: string): Consumer | undefined {
    return this.#byName.get(name);
  }

  /**
   * Whose key it is. Found by its digest: how long that takes says nothing of the keys there are.
   * @param nowMs milliseconds since the Unix epoch
   */
  ofApiKey(key: string, nowMs: number): Consumer | undefined {
    const entry = this.#byKey.get(hash("sha256", key, "hex"));
    return entry !== undefined && nowMs < entry.expiresAt ? entry.consumer : undefined;
  }
}
