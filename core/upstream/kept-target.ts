/** A target as the control thread keeps it: what checks and operators say of it, on top of what all threads know. */
import { TargetState, type TargetOwner } from "./target-state.ts";
import {
  ADMIN_STATES,
  type AdminState,
  createTargetRecord,
  DOUBLE,
  type EjectionReason,
  HEALTH,
  REASONS,
  WORD,
} from "./target-record.ts";

/** What an operator set of a target. */
export interface Override {
  readonly adminState: AdminState;
  /** Undefined for the configured one. */
  readonly weight: number | undefined;
}

/** What the targets of an upstream have in common on the control thread. */
export interface KeptOwner extends TargetOwner {
  readonly threads: number;
  /** By URL: a target that goes for a while comes back as operators left it. */
  readonly overrides: Map<string, Override>;
}

export class KeptTarget extends TargetState {
  declare protected readonly owner: KeptOwner;
  /** Active checks so far, by result. */
  readonly checks = { success: 0, failure: 0 };
  /** It was not there before: it warms up once it is used. */
  isNew = false;
  /** What the last failed check found. */
  #failure: string | undefined;

  constructor(url: string, serial: number, owner: KeptOwner) {
    super(url, createTargetRecord(serial, owner.threads), owner);
    const override = owner.overrides.get(url);
    if (override !== undefined) this.#set(override);
  }

  /** Why it is not healthy: what the last check found, or the reason of its ejection. Undefined when it is. */
  unhealthyReason(now: number): string | undefined {
    if (this.healthy === false) return this.#failure ?? "the check failed";
    return this.ejectedUntil > now ? this.ejectionReason : undefined;
  }

  /** It is used from now on: one that is new begins to warm up. */
  enter(): void {
    if (!this.isNew) return;
    this.isNew = false;
    this.#warmUp();
    this.owner.shared.changed();
  }

  /**
   * The verdict of the active checks.
   * @param reason for the log and for operators, when it is not well
   */
  setHealthy(healthy: boolean | undefined, reason?: string): void {
    this.#failure = reason;
    const before = this.healthy;
    if (healthy === before) return;
    if (before === false) this.#warmUp();
    this.words[WORD.healthy] = HEALTH.indexOf(healthy);
    this.owner.shared.changed();
    if (healthy === false) this.owner.log.warn({ ...this.fields(), reason }, "target is unhealthy");
    else if (before === false) this.owner.log.info(this.fields(), "target is healthy again");
  }

  /** Ends its ejection. */
  readmit(): void {
    const now = this.owner.clock.monotonic();
    if (this.ejectedUntil > now) {
      this.doubles[DOUBLE.ejectedUntil] = now;
      this.owner.shared.changed();
    }
    this.tellReturn(now);
  }

  /** What an operator sets; what is undefined stays, a weight of null is the configured one. */
  override(adminState: AdminState | undefined, weight: number | null | undefined): void {
    const before = this.adminState;
    const set = {
      adminState: adminState ?? before,
      weight: weight === undefined ? this.weight : (weight ?? undefined),
    };
    if (before !== "active" && set.adminState === "active") this.#warmUp();
    this.#set(set);
    const { overrides, shared, log } = this.owner;
    if (set.adminState === "active" && set.weight === undefined) overrides.delete(this.url);
    else overrides.set(this.url, set);
    shared.changed();
    log.info({ ...this.fields(), state: set.adminState, weight: set.weight }, "target was set");
  }

  /** Ejections so far, and those that were due and not made, by reason. */
  ejectionCounts(kind: "ejections" | "refusals"): [reason: EjectionReason, count: number][] {
    const counts = REASONS.map((reason, i): [EjectionReason, number] => [
      reason,
      this.words[WORD[kind] + i]!,
    ]);
    return counts.filter(([, count]) => count > 0);
  }

  #set({ adminState, weight }: Override): void {
    this.words[WORD.adminState] = ADMIN_STATES.indexOf(adminState);
    this.doubles[DOUBLE.weight] = weight ?? Number.NaN;
  }

  #warmUp(): void {
    this.doubles[DOUBLE.warmFrom] = this.owner.clock.monotonic();
  }
}
