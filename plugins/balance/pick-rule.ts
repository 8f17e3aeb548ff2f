/** What a balancer asks for targets. One strategy is one rule; what they have in common is here. */
import type { Exchange, Host, Target, Upstream } from "../../core/plugin.ts";

/** Picks the target that would be best for an exchange, of those that are eligible now. */
export interface PickRule {
  /** Undefined when nothing is eligible. */
  pick(x: Exchange): Target | undefined;
  /**
   * All eligible targets, the next best first: for exchanges that may not go where {@link pick} sent them. Rules
   * that spread requests do without it and are asked again.
   */
  others?(x: Exchange): Iterable<Target>;
}

/** A rule that prepares itself from the eligible targets. */
export abstract class PreparedRule implements PickRule {
  protected readonly upstream: Upstream;
  /** The eligible targets that it is prepared for. */
  protected targets: readonly Target[] = [];
  #version = -1;

  constructor(upstream: Upstream) {
    this.upstream = upstream;
  }

  pick(x: Exchange): Target | undefined {
    this.refresh();
    return this.targets.length === 0 ? undefined : this.targets[this.choose(x)];
  }

  /** Prepares anew if the upstream has changed. */
  protected refresh(): void {
    const { version } = this.upstream;
    if (version === this.#version) return;
    const { eligible } = this.upstream;
    this.prepare(eligible);
    this.targets = eligible;
    this.#version = version;
  }

  /** The eligible targets or their weights have changed; `targets` still has the former ones. */
  protected abstract prepare(eligible: readonly Target[]): void;

  /** Index in `targets`, which are not empty. */
  protected abstract choose(x: Exchange): number;
}

/** Rules that the routes of an upstream have in common. */
class SharedRules {
  readonly #rules = new WeakMap<Upstream, Map<string, object>>();

  get<T extends object>(upstream: Upstream, name: string, create: () => T): T {
    let rules = this.#rules.get(upstream);
    if (rules === undefined) this.#rules.set(upstream, (rules = new Map()));
    let rule = rules.get(name) as T | undefined;
    if (rule === undefined) rules.set(name, (rule = create()));
    return rule;
  }
}

/** Makes something once for all routes of an upstream, so that they take turns together. */
export function shareRule<T extends object>(
  host: Host,
  upstream: Upstream,
  name: string,
  create: () => T,
): T {
  const shared = host.keep(`balance rules ${upstream.name}`, () => new SharedRules());
  return shared.get(upstream, name, create);
}
