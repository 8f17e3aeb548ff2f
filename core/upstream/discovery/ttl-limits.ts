/** Between which times a name is looked up again. */
import { ConfigError } from "../../errors.ts";
import { parseDuration } from "../../units.ts";

export class TtlLimits {
  readonly #minMs: number;
  readonly #maxMs: number;

  /** @throws ConfigError with a pointer below `pointer` */
  constructor({ minTtl, maxTtl }: { minTtl: string; maxTtl: string }, pointer: string) {
    this.#minMs = parseDuration(minTtl);
    this.#maxMs = parseDuration(maxTtl);
    if (this.#minMs < 10) throw new ConfigError("`minTtl` is at least 10ms", `${pointer}/minTtl`);
    if (this.#maxMs < this.#minMs) {
      throw new ConfigError("`maxTtl` cannot be less than `minTtl`", `${pointer}/maxTtl`);
    }
  }

  /** How long to wait with the next look-up, for a TTL that may be unknown. */
  clamp(ttlMs: number | undefined): number {
    return Math.min(this.#maxMs, Math.max(this.#minMs, ttlMs ?? this.#maxMs));
  }
}
