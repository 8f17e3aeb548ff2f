/**
 * Tells who was let in and who was not: one event each, for those who must be able to look it up later. What is told is
 * bounded for each kind, so that nobody can fill the log with wrong keys, or hide a login among them; what was left out
 * is counted, and the count is told.
 */
import type { AuditConfig } from "./config/checked.ts";
import type { Consumer, Exchange, Log } from "./exchange.ts";
import type { Clock, Metrics } from "./plugin.ts";

/** What there are events of. */
export const AUDIT_EVENTS = [
  "auth",
  "authorize",
  "csrf",
  "ban",
  "login",
  "refresh",
  "reuse",
  "logout",
] as const;

export type AuditEvent = (typeof AUDIT_EVENTS)[number];
export type AuditOutcome = "allowed" | "refused";

/** What an event says beside its request; never a secret, and nothing of which only the client says that it is true. */
export interface AuditFacts {
  /** Class of the reason for a refusal: `invalid`. */
  readonly reason?: string;
  /** How somebody showed who they are: `apiKey`. */
  readonly method?: string;
  /** Whom it is about; the exchange's consumer by default. */
  readonly consumer?: Consumer | undefined;
}

/** Takes the events of one kind. */
export interface AuditRecorder {
  record(x: Exchange, facts?: AuditFacts): void;
}

export interface Audit {
  /** Gives what takes such events; undefined when nobody wants them. Ask while you build. */
  recorder(event: AuditEvent, outcome: AuditOutcome): AuditRecorder | undefined;
}

/** Where nobody wants any. */
export const NO_AUDIT: Audit = { recorder: () => undefined };

/** Events of every request, which are wanted only where somebody says so. */
const OF_EVERY_REQUEST: readonly AuditEvent[] = ["auth", "authorize"];
const WINDOW_MS = 1000;

/** What came of one kind in this second. */
interface Tally {
  readonly event: AuditEvent;
  readonly outcome: AuditOutcome;
  written: number;
  omitted: number;
}

export interface AuditContext {
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/** Writes events to the log. */
export class AuditLog implements Audit {
  readonly #config: AuditConfig;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #events: ReturnType<Metrics["counter"]>;
  readonly #tallies = new Map<string, Tally>();
  #windowEndsAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(config: AuditConfig, { log, clock, metrics }: AuditContext) {
    this.#config = config;
    this.#log = log;
    this.#clock = clock;
    this.#events = metrics.counter(
      "sluice_audit_events_total",
      "Audit events by outcome: `allowed` or `refused`; also those that were left out of the log.",
      ["event", "outcome"],
    );
  }

  recorder(event: AuditEvent, outcome: AuditOutcome): AuditRecorder | undefined {
    const { events, allowed } = this.#config;
    if (!events.includes(event)) return undefined;
    if (outcome === "allowed" && OF_EVERY_REQUEST.includes(event) && !allowed) return undefined;
    const key = `${event} ${outcome}`;
    const tally: Tally = this.#tallies.get(key) ?? { event, outcome, written: 0, omitted: 0 };
    this.#tallies.set(key, tally);
    return {
      record: (x, facts = {}) => {
        this.#events.inc({ event, outcome });
        if (this.#mayWrite(tally)) this.#write(x, event, outcome, facts);
      },
    };
  }

  close(): void {
    this.#endWindow();
  }

  #write(x: Exchange, event: AuditEvent, outcome: AuditOutcome, facts: AuditFacts): void {
    const { consumer = x.consumer, method, reason } = facts;
    const { clientAddress: client, route, id: requestId } = x;
    const who = consumer && { consumer: consumer.name, credential: consumer.credential };
    const line = { event, outcome, reason, ...who, method, route: route.name, client, requestId };
    this.#log.info(line, "audit");
  }

  #mayWrite(tally: Tally): boolean {
    const now = this.#clock.monotonic();
    if (now >= this.#windowEndsAt) {
      this.#endWindow();
      this.#windowEndsAt = now + WINDOW_MS;
    }
    if (tally.written < this.#config.maxPerSecond) {
      tally.written++;
      return true;
    }
    tally.omitted++;
    // Nothing may come any more, and somebody has to tell.
    this.#timer ??= setTimeout(() => this.#endWindow(), this.#windowEndsAt - now).unref();
    return false;
  }

  #endWindow(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const tally of this.#tallies.values()) {
      const { event, outcome, omitted } = tally;
      if (omitted > 0) this.#log.warn({ event, outcome, omitted }, "audit events were left out");
      tally.omitted = 0;
      tally.written = 0;
    }
    this.#windowEndsAt = Number.NEGATIVE_INFINITY;
  }
}
