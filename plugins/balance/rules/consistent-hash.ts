/**
 * The same target for the same key, found on a hash ring. With a load factor none gets more than so many times its
 * share of the requests under way: what would be too much goes to the next on the ring ("Consistent Hashing with
 * Bounded Loads", Mirrokni, Thorup, Zadimoghaddam, 2016).
 */
import type { Exchange, Host, Target, Upstream } from "../../../core/plugin.ts";
import type { PickRule } from "../pick-rule.ts";
import { hash, Ring } from "../ring.ts";

/** What a request is told apart by; undefined when it has nothing of the kind. */
export type Key = (x: Exchange) => string | undefined;

/** The ring of an upstream as it is now, with what the limit of load is made of. */
export class LiveRing {
  readonly upstream: Upstream;
  targets: readonly Target[] = [];
  ring = new Ring([], []);
  /** Sum of the weights of `targets`. */
  weight = 0;
  #others: readonly Target[] = [];
  #version = -1;

  constructor(upstream: Upstream) {
    this.upstream = upstream;
  }

  refresh(): void {
    const { version } = this.upstream;
    if (version === this.#version) return;
    const { eligible, targets } = this.upstream;
    this.targets = eligible;
    this.ring = new Ring(eligible, targets);
    this.weight = eligible.reduce((sum, { weight }) => sum + weight, 0);
    const isEligible = new Set(eligible);
    this.#others = targets.filter((target) => !isEligible.has(target));
    this.#version = version;
  }

  /** Requests under way to `targets`. */
  get inFlight(): number {
    let sum = this.upstream.inFlight;
    for (const target of this.#others) sum -= target.inFlight;
    return sum;
  }
}

export class ConsistentHash implements PickRule {
  readonly #live: LiveRing;
  readonly #key: Key;
  readonly #loadFactor: number;
  readonly #host: Host;

  /** @param loadFactor at least 1; infinite for no limit */
  constructor(live: LiveRing, key: Key, loadFactor: number, host: Host) {
    this.#live = live;
    this.#key = key;
    this.#loadFactor = loadFactor;
    this.#host = host;
  }

  pick(x: Exchange): Target | undefined {
    const live = this.#live;
    live.refresh();
    const { targets, ring } = live;
    if (targets.length === 0) return undefined;
    const start = ring.locate(this.#position(x));
    const home = targets[ring.owners[start]!]!;
    // Who is idle always has room, whatever the others have.
    if (home.inFlight === 0 || this.#loadFactor === Number.POSITIVE_INFINITY) return home;
    const { owners } = ring;
    const share = this.#sharePerWeight();
    for (let i = 0; i < owners.length; i++) {
      const target = targets[owners[(start + i) % owners.length]!]!;
      if (hasRoom(target, share)) return target;
    }
    return home;
  }

  *others(x: Exchange): Generator<Target> {
    const live = this.#live;
    live.refresh();
    if (live.targets.length === 0) return;
    const order = [...live.ring.from(live.ring.locate(this.#position(x)))].map((i) => live.targets[i]!);
    const share = this.#sharePerWeight();
    for (const target of order) if (hasRoom(target, share)) yield target;
    for (const target of order) if (!hasRoom(target, share)) yield target;
  }

  /** Place on the ring: of the key, or any for a request without. */
  #position(x: Exchange): number {
    const key = this.#key(x);
    return key === undefined || key === "" ? this.#host.random() * 2 ** 32 : hash(key);
  }

  /** Requests, this one included, that a target may have for each unit of weight. */
  #sharePerWeight(): number {
    return (this.#loadFactor * (this.#live.inFlight + 1)) / this.#live.weight;
  }
}

/** True when one more request stays within the target's share, rounded up: but not what the arithmetic is off by. */
function hasRoom(target: Target, share: number): boolean {
  return target.inFlight < Math.ceil(share * target.weight - 1e-9);
}
