/**
 * A script on one thread: its isolate, made anew when it is lost, and how it is treated when it fails. Calls run on this
 * thread, within a time limit; those of a demoted script on a thread of their own.
 */
import { monotonicMs } from "../clock.ts";
import { type ErrorCode, GatewayError } from "../errors.ts";
import type { Surroundings } from "../generation.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../plugin.ts";
import type { Vitals } from "../threads/vitals.ts";
import { createFailure, failureOf, readThrown } from "./failures.ts";
import { FREE_CALLS, HOST_CALLS, MAX_CALLS, SLOW_CALLS } from "./host-calls.ts";
import type { HookRun } from "./hook-run.ts";
import {
  argumentsOf,
  type HookArguments,
  type HookResult,
  IsolateError,
  type ScriptIsolate,
} from "./isolate.ts";
import { IsolateKeeper } from "./isolate-keeper.ts";
import { Ladder } from "./ladder.ts";
import { type Quarantine, QUARANTINE_MS } from "./quarantine.ts";
import { type ScriptBundle, scriptId } from "./script.ts";
import type { ScriptStage } from "./script-stage.ts";
import { StackTeller } from "./stack.ts";
import { ScriptStats } from "./script-stats.ts";
import { WorkSample } from "./work-sample.ts";

export interface RunnerAround {
  readonly log: Log;
  readonly clock: Clock;
  readonly vitals: Vitals;
  readonly quarantine: Quarantine;
  /** Has the process replaced. */
  readonly giveUp?: Surroundings["giveUp"];
  /** Told when it is closed. */
  readonly registry: { remove(runner: ScriptRunner): void };
}

/** Longest result, beside what bodies need. */
const MAX_RESULT_CHARS = 1024 * 1024;
const ROOM_FOR_BODIES = 8;
/** A call on a thread of its own that comes so much later than its time limit says cannot be interrupted. */
const GRACE_MS = 400;
/** How long a thread that is lost may take until the process is given up for it. */
const LAST_WAIT_MS = 5000;
/** Calls that run elsewhere come back so soon, or may be stuck. */
const SOON_MS = 25;
const NO_TIME = "the machine gave it no time";
const LOST = "its isolate was lost to another call";

export class ScriptRunner {
  readonly bundle: ScriptBundle;
  readonly stats = new ScriptStats();
  readonly ladder = new Ladder();
  readonly quarantine: Quarantine;
  readonly #around: RunnerAround;
  readonly #id: number;
  readonly #maxChars: number;
  readonly #teller: StackTeller;
  readonly #keeper: IsolateKeeper;
  /** Calls that have not settled, by number. */
  readonly #runs = new Map<number, HookRun>();
  /** The call that runs on this thread now. */
  #current: HookRun | undefined;
  #lastRun = 0;
  #lastOperation = 0;
  #isSuspected = false;
  readonly #work = new WorkSample();

  constructor(bundle: ScriptBundle, memoryBytes: number, around: RunnerAround) {
    this.bundle = bundle;
    this.#keeper = new IsolateKeeper(bundle, memoryBytes, (op, run, argument) =>
      this.#onHostCall(op, run, argument),
    );
    this.#around = around;
    this.#teller = new StackTeller(bundle);
    this.#id = scriptId(bundle.version);
    this.#maxChars = MAX_RESULT_CHARS + ROOM_FOR_BODIES * bundle.manifest.body.maxBytes;
    this.quarantine = around.quarantine;
  }

  /** Seconds that it has run. */
  get cpuSeconds(): number {
    return this.#keeper.cpuSeconds;
  }

  /**
   * Calls run elsewhere, and must not wait on this thread for one that does. Those that come back soon may be waited for,
   * or there would be no end of it under load.
   */
  #isAway(isolate: ScriptIsolate, now: number): boolean {
    return this.ladder.isDemoted || isolate.awayForMs(now) > SOON_MS;
  }

  get heapBytes(): number {
    return this.#keeper.isolate?.heapBytes ?? 0;
  }

  /** A number for a call. */
  nextRun(): number {
    this.#lastRun = (this.#lastRun + 1) % 0x7fff_ffff;
    return this.#lastRun;
  }

  /** Resolves when it can run hooks of a stage. @throws IsolateError */
  addStage(stage: ScriptStage): Promise<void> {
    return this.#keeper.addStage(stage);
  }

  removeStage(stage: ScriptStage): void {
    this.#keeper.removeStage(stage);
  }

  /**
   * Runs a hook. Gives lines of edits; undefined or an empty text for none.
   * @param hook 0 for the request, 1 for the response
   * @param text the message without its body, as the guest takes it
   * @throws GatewayError SCRIPT_*
   */
  call(
    run: HookRun,
    hook: number,
    text: string,
    body: string | undefined,
    states: string | undefined,
  ): HookResult | Promise<HookResult> {
    const now = monotonicMs();
    const { quarantine } = this;
    const isProbe = quarantine.isImposed(now);
    if (isProbe && !quarantine.tryProbe(now)) throw this.count(new GatewayError("SCRIPT_QUARANTINED"));
    this.#work.refresh(now);
    const { isolate } = this.#keeper;
    const stage = this.#keeper.numberOf(run.stage);
    const args = argumentsOf(stage ?? 0, hook, run.id, text, body, states);
    if (isolate === undefined || stage === undefined || isProbe || this.#isAway(isolate, now)) {
      return this.#callAway(run, isProbe, args);
    }
    let result: HookResult;
    let isWaiting = false;
    this.#current = run;
    this.#around.vitals.enterScript(this.#id, now);
    try {
      result = this.#runHere(isolate, run, args);
      isWaiting = result === "P" && run.settled === undefined;
    } finally {
      this.#around.vitals.leaveScript();
      this.#current = undefined;
      if (!isWaiting) this.#end(run, now);
    }
    if (isWaiting) return this.#wait(run, hook, now);
    return this.#check(result === "P" ? run.settled : result, hook);
  }

  /** Nobody needs it any more. */
  close(): void {
    this.#failAll("SCRIPT_THREW", "it is closed");
    this.#keeper.close();
    this.#around.registry.remove(this);
  }

  /** On this thread. What waited for a core instead of running begins anew, once, if it has asked for nothing yet. */
  #runHere(isolate: ScriptIsolate, run: HookRun, args: HookArguments): HookResult {
    const options = run.stage.syncOptions;
    for (let tries = 0; ; tries++) {
      try {
        return isolate.runSync(args, options);
      } catch (error) {
        if (!this.#isStarved(error, run)) throw this.#onFault(error, isolate);
        if (tries > 0 || run.calls > 0) throw this.#fault("SCRIPT_TIMEOUT", NO_TIME);
        this.#work.take(monotonicMs());
      }
    }
  }

  /** A timeout that is not the script's fault. */
  #isStarved(error: unknown, { stage }: HookRun): boolean {
    if (!(error instanceof IsolateError) || error.fault !== "timeout") return false;
    return this.#work.isStarved(stage.limits.cpuMs);
  }

  /** On a thread of its own: a demoted script, one that is tried, or one whose isolate is lost. */
  async #callAway(run: HookRun, isProbe: boolean, args: HookArguments): Promise<HookResult> {
    const hook = args[0] & 1;
    const began = monotonicMs();
    this.#runs.set(run.id, run);
    let isolate: ScriptIsolate | undefined;
    let isBack = true;
    try {
      const settled = run.wait();
      settled.catch(() => {}); // heard below, but perhaps late
      isolate = this.#keeper.isolate ?? (await this.#keeper.open());
      const stage = this.#keeper.numberOf(run.stage);
      if (stage === undefined) throw new IsolateError("broken", "the stage is gone");
      const [, ...rest] = args;
      isBack = false;
      const ran = isolate.run([stage * 2 + hook, ...rest], run.stage.asyncOptions).finally(() => {
        isBack = true;
      });
      ran.catch(() => {}); // the same
      const first = await Promise.race([ran, settled]);
      const result = first === "P" ? await settled : first;
      const checked = this.#check(result, hook);
      if (isProbe) this.quarantine.pass();
      else if (this.ladder.isDemoted) this.ladder.onClean();
      return checked;
    } catch (error) {
      run.fail(error);
      // One that came back in time, whatever it says, holds up nobody.
      if (isProbe && isBack && error instanceof GatewayError) this.quarantine.pass();
      else if (isProbe) this.quarantine.fail(monotonicMs());
      throw error instanceof GatewayError ? this.#onGivenUp(error) : this.#onFault(error, isolate);
    } finally {
      this.#end(run, began);
    }
  }

  /** What the host is asked by the script. Never throws. */
  #onHostCall(op: string, id: number, argument: string): string {
    try {
      const free = FREE_CALLS[op];
      if (free !== undefined) return `=${free(argument)}`;
      const run = this.#current?.id === id ? this.#current : this.#runs.get(id);
      if (run === undefined) return op === "settle" ? "=" : "!This can only be used while a hook runs";
      if (op === "settle") {
        run.settle(argument);
        return "=";
      }
      if (++run.calls > MAX_CALLS) return `!A hook can ask the gateway ${MAX_CALLS} times`;
      const slow = SLOW_CALLS[op];
      if (slow !== undefined) return `=${this.#begin(run, slow(run, argument))}`;
      const call = HOST_CALLS[op];
      return call === undefined ? `!There is no ${op}` : `=${call(run, argument)}`;
    } catch (error) {
      return `!${error instanceof Error ? error.message : String(error)}`;
    }
  }

  /** Gives the number of what was begun. */
  #begin(run: HookRun, work: Promise<string>): number {
    const operation = ++this.#lastOperation;
    work.then(
      (result) => this.#resume(run, operation, 1, result),
      (error: unknown) =>
        this.#resume(run, operation, 0, error instanceof Error ? error.message : String(error)),
    );
    return operation;
  }

  #resume(run: HookRun, operation: number, outcome: number, result: string): void {
    const { isolate } = this.#keeper;
    if (isolate === undefined) return; // and the run failed with it
    const said = run.isOver ? 2 : outcome;
    const text = run.isOver ? "" : result;
    const now = monotonicMs();
    if (this.#isAway(isolate, now) || this.quarantine.isImposed(now)) {
      isolate
        .resume(operation, said, text, run.stage.asyncOptions)
        .catch((error: unknown) => run.fail(this.#onFault(error, isolate)));
      return;
    }
    this.#work.refresh(now);
    this.#current = run;
    this.#around.vitals.enterScript(this.#id, now);
    try {
      isolate.resumeSync(operation, said, text, run.stage.syncOptions);
    } catch (error) {
      const isStarved = this.#isStarved(error, run);
      run.fail(isStarved ? this.#fault("SCRIPT_TIMEOUT", NO_TIME) : this.#onFault(error, isolate));
    } finally {
      this.#around.vitals.leaveScript();
      this.#current = undefined;
    }
  }

  async #wait(run: HookRun, hook: number, began: number): Promise<HookResult> {
    this.#runs.set(run.id, run);
    try {
      return this.#check(await run.wait(), hook);
    } catch (error) {
      throw this.#onGivenUp(error as GatewayError);
    } finally {
      this.#end(run, began);
    }
  }

  #end(run: HookRun, began: number): void {
    run.end();
    this.#runs.delete(run.id);
    this.stats.countCall(monotonicMs() - began);
  }

  #check(result: HookResult, hook: number): HookResult {
    if (result === undefined || result === "") return undefined;
    if (result.length > this.#maxChars) {
      throw this.#fault("SCRIPT_OUTPUT", `it gave back more than ${this.#maxChars} characters`);
    }
    if (result.startsWith("X"))
      throw this.count(readThrown(this.bundle, this.#teller, result.slice(1), hook));
    return result;
  }

  /** A call did not come back. Gives what the client is told. */
  #onFault(error: unknown, isolate: ScriptIsolate | undefined): GatewayError {
    const known = error instanceof IsolateError ? error : new IsolateError("broken", String(error));
    const { fault } = known;
    if (isolate?.isDisposed && !this.#lose(isolate, "SCRIPT_MEMORY")) {
      return createFailure(this.bundle, "SCRIPT_MEMORY", LOST); // one fault, however many calls it ends
    }
    // What waits behind promises would run at the next thing that is asked of the isolate, even without a time limit.
    if (isolate && fault === "timeout") queueMicrotask(() => this.#lose(isolate, "SCRIPT_TIMEOUT"));
    if (fault === "timeout") this.#demote("timeouts");
    else if (fault === "memory") this.#demote("memory");
    else if (fault === "stuck") this.#quarantine("stall"); // each try would cost another thread
    return this.count(failureOf(this.bundle, known));
  }

  /** Nobody waits for a call any more, be it that it hangs. Gives what the client is told. */
  #onGivenUp(error: GatewayError): GatewayError {
    const { isolate } = this.#keeper;
    if (isolate !== undefined && !this.#isSuspected) {
      const leftMs = GRACE_MS - isolate.overdueMs(monotonicMs());
      if (leftMs <= 0) this.#giveUp(isolate);
      else if (leftMs < Number.POSITIVE_INFINITY) this.#suspect(isolate, leftMs);
    }
    return this.count(error);
  }

  #suspect(isolate: ScriptIsolate, leftMs: number): void {
    this.#isSuspected = true;
    setTimeout(() => {
      this.#isSuspected = false;
      if (isolate.overdueMs(monotonicMs()) >= GRACE_MS) this.#giveUp(isolate);
    }, leftMs + 2).unref(); // timers may be early
  }

  /** It runs what cannot be interrupted: the isolate is lost, and so is the thread that it runs on. */
  #giveUp(isolate: ScriptIsolate): void {
    if (isolate !== this.#keeper.isolate) return;
    this.#quarantine("stall");
    this.#lose(isolate, "SCRIPT_QUARANTINED");
    setTimeout(() => {
      if (isolate.awayForMs(monotonicMs()) > 0) this.#giveUpProcess();
    }, LAST_WAIT_MS).unref();
  }

  /** The thread never comes back: only another process has all of its cores again. */
  #giveUpProcess({ name, version, file } = this.bundle): void {
    this.#quarantine("killed");
    this.#around.giveUp?.(`the script ${name} keeps a thread that cannot be ended`, { name, version, file });
  }

  #demote(reason: "timeouts" | "memory"): void {
    const { ladder, stats } = this;
    if (!ladder.isDemoted) {
      stats.demotions++;
      this.#around.log.warn(
        { ...this.#fields, reason },
        "the script is demoted: it runs on a thread of its own from now on",
      );
    }
    if (ladder.onFault()) this.#quarantine(reason);
  }

  #quarantine(reason: keyof typeof QUARANTINE_MS): void {
    const forMs = QUARANTINE_MS[reason];
    if (!this.quarantine.impose(reason, forMs, monotonicMs())) return;
    this.#around.log.error({ ...this.#fields, reason, forMs }, "the script is quarantined");
  }

  get #fields(): object {
    return { script: this.bundle.name, version: this.bundle.version.slice(0, 12) };
  }

  #fault(code: ErrorCode, message: string): GatewayError {
    return this.count(createFailure(this.bundle, code, message));
  }

  /** A failure that the client is told of. */
  count(error: GatewayError): GatewayError {
    this.stats.countError(error, this.#around.clock.now());
    return error;
  }

  /** The isolate cannot be used any more, and nor can what waits in it. False when that was known. */
  #lose(isolate: ScriptIsolate, code: ErrorCode): boolean {
    if (!this.#keeper.lose(isolate)) return false;
    this.#failAll(code, LOST);
    return true;
  }

  #failAll(code: ErrorCode, message: string): void {
    for (const run of this.#runs.values()) run.fail(createFailure(this.bundle, code, message));
  }
}
