/** What is logged in a test: lines of scripts are kept, what the gateway complains of is shown. */
import type { Log } from "../exchange.ts";
import type { TestClock, TestLogLine } from "../script/test-api.ts";
import { monotonicMs } from "../clock.ts";
import type { Clock } from "../plugin.ts";

export class TestLog implements Log {
  readonly #lines: TestLogLine[];
  readonly #fields: Readonly<Record<string, unknown>>;

  /** @param lines where those of scripts go */
  constructor(lines: TestLogLine[], fields: object = {}) {
    this.#lines = lines;
    this.#fields = { ...fields };
  }

  debug(fields: object, message: string): void {
    this.#add("debug", fields, message);
  }

  info(fields: object, message: string): void {
    this.#add("info", fields, message);
  }

  warn(fields: object, message: string): void {
    this.#add("warn", fields, message);
  }

  error(fields: object, message: string): void {
    this.#add("error", fields, message);
  }

  child(fields: object): Log {
    return new TestLog(this.#lines, { ...this.#fields, ...fields });
  }

  #add(level: TestLogLine["level"], own: object, message: string): void {
    const { script, requestId, fields, ...rest }: Record<string, unknown> = { ...this.#fields, ...own };
    if (typeof script === "string" && requestId !== undefined) {
      this.#lines.push({ level, script, message, fields: (fields ?? {}) as TestLogLine["fields"] });
    } else if (level === "warn" || level === "error") {
      process.stderr.write(`sluice: ${message} ${JSON.stringify({ script, ...rest })}\n`);
    }
  }
}

/** A clock that moves only when told. */
export class FakeTime implements Clock, TestClock {
  #now: number;
  /** On the scale of the real one, which memory that is shared by threads goes by. */
  #monotonic = monotonicMs();

  constructor(now: number) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  advance(ms: number): void {
    this.#now += ms;
    this.#monotonic += ms;
  }
}
