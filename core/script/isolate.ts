/**
 * The only door to isolated-vm: an isolate with the guest runtime and one script in it. What goes in and comes out is
 * text and numbers; no handle of the host is in the isolate but one callback, which gives and takes text.
 */
import ivm from "isolated-vm";
import { monotonicMs } from "../clock.ts";
import type { GuestEntry } from "./guest/entry.ts";
import { GUEST_SOURCE } from "./guest/source.ts";

/** Told what the script asks of the host; answers `=` and the result, or `!` and why not. Must not throw. */
export type HostCallback = (op: string, run: number, argument: string) => string;

export interface IsolateOptions {
  readonly code: string;
  /** Name of the script in stack traces. */
  readonly file: string;
  readonly memoryBytes: number;
  readonly onHostCall: HostCallback;
}

/** Why a call gave nothing. */
export type IsolateFault = "timeout" | "stuck" | "memory" | "output" | "broken";

export class IsolateError extends Error {
  override readonly name = "IsolateError";
  readonly fault: IsolateFault;

  constructor(fault: IsolateFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

/** What a hook gave: lines of edits, `P` or `X…`; undefined for no edits. */
export type HookResult = string | undefined;

/** Arguments of a hook, as the guest's `run` takes them; each costs, also one that is undefined. */
export type HookArguments = Readonly<Parameters<GuestEntry["run"]>>;

/** As {@link GuestEntry.run} takes them. */
export function argumentsOf(
  stage: number,
  hook: number,
  run: number,
  text: string,
  body: string | undefined,
  states: string | undefined,
): HookArguments {
  const target = stage * 2 + hook;
  if (states !== undefined) return [target, run, text, body, states];
  return body !== undefined ? [target, run, text, body] : [target, run, text];
}

/** How long the top level of a script may run. */
const TOP_LEVEL_MS = 1000;
/** Code that cannot be interrupted is given up: its thread is lost. */
const PATIENCE_MS = 3000;
/** isolated-vm's least. */
const LEAST_MEMORY_MB = 8;
const MB = 1024 * 1024;

type Call = ivm.Reference<(...args: unknown[]) => unknown>;

export class ScriptIsolate {
  /** What the script said of itself: its manifest as JSON, `!…` or `X…`. */
  readonly installed: string;
  readonly #isolate: ivm.Isolate;
  readonly #run: Call;
  readonly #resume: Call;
  readonly #addStage: Call;
  /** Calls that run on a thread of their own, or wait for it. */
  #away = 0;
  /** When the last of them came back, or the first went. */
  #backAt = 0;
  /** The longest that one of them may run. */
  #longestMs = 0;
  #heapBytes = 0;

  private constructor(
    isolate: ivm.Isolate,
    installed: string,
    calls: { run: Call; resume: Call; addStage: Call },
  ) {
    this.installed = installed;
    this.#isolate = isolate;
    this.#run = calls.run;
    this.#resume = calls.resume;
    this.#addStage = calls.addStage;
  }

  /**
   * Opens an isolate, away from this thread.
   * @throws IsolateError when the top level runs for too long or takes too much memory
   */
  static async open(options: IsolateOptions): Promise<ScriptIsolate> {
    const memoryLimit = Math.max(LEAST_MEMORY_MB, Math.floor(options.memoryBytes / MB));
    const isolate = new ivm.Isolate({ memoryLimit });
    try {
      return await withPatience(ScriptIsolate.#openIn(isolate, options));
    } catch (error) {
      const failure = toIsolateError(error, isolate.isDisposed);
      dispose(isolate);
      throw failure;
    }
  }

  static async #openIn(
    isolate: ivm.Isolate,
    { code, file, onHostCall }: Pick<IsolateOptions, "code" | "file" | "onHostCall">,
  ): Promise<ScriptIsolate> {
    const context = await isolate.createContext();
    const entry = (await context.evalClosure(GUEST_SOURCE, [new ivm.Callback(onHostCall)], {
      filename: "sluice:guest",
      result: { reference: true },
    })) as unknown as ivm.Reference<Record<string, unknown>>;
    const get = (name: string): Call => entry.getSync(name, { reference: true }) as unknown as Call;
    const calls = { run: get("run"), resume: get("resume"), addStage: get("addStage") };
    const installed = await get("install").apply(undefined, [code, file], { timeout: TOP_LEVEL_MS });
    if (typeof installed !== "string") throw new IsolateError("output", "the script cannot be installed");
    return new ScriptIsolate(isolate, installed, calls);
  }

  /** Makes a stage known by a number; the one that had the number before is gone. @throws IsolateError */
  async addStage(number: number, stage: string): Promise<void> {
    try {
      const work = this.#addStage.apply(undefined, [number, stage], { timeout: TOP_LEVEL_MS });
      // The top level may have left a trap in what this runs on; but behind calls that are slow it only stands in line.
      await (this.#away === 0 ? withPatience(work) : work);
    } catch (error) {
      throw toIsolateError(error, this.#isolate.isDisposed);
    }
  }

  /**
   * Runs a hook on this thread.
   * @throws IsolateError
   */
  runSync(args: HookArguments, options: { timeout: number }): HookResult {
    let result: unknown;
    try {
      result = this.#run.applySync(undefined, args as unknown as string[], options);
    } catch (error) {
      throw toIsolateError(error, this.#isolate.isDisposed);
    }
    return checkResult(result);
  }

  /**
   * Runs a hook on a thread of its own. What the script asks of the host in between waits for this thread.
   * @throws IsolateError
   */
  async run(args: HookArguments, options: { timeout: number }): Promise<HookResult> {
    return checkResult(await this.#callAway(this.#run, args, options));
  }

  /**
   * Tells the script that something it began has ended; what waits for it runs on.
   * @param outcome 1 when it went well, 0 when not, 2 when nobody waits for it any more
   * @throws IsolateError
   */
  resumeSync(operation: number, outcome: number, result: string, options: { timeout: number }): void {
    try {
      this.#resume.applySync(undefined, [operation, outcome, result], options);
    } catch (error) {
      throw toIsolateError(error, this.#isolate.isDisposed);
    }
  }

  /** As {@link resumeSync}, on a thread of its own. */
  async resume(
    operation: number,
    outcome: number,
    result: string,
    options: { timeout: number },
  ): Promise<void> {
    await this.#callAway(this.#resume, [operation, outcome, result], options);
  }

  async #callAway(call: Call, args: readonly unknown[], options: { timeout: number }): Promise<unknown> {
    if (this.#away++ === 0) this.#backAt = monotonicMs();
    this.#longestMs = Math.max(this.#longestMs, options.timeout);
    try {
      return await call.apply(undefined, args as string[], options);
    } catch (error) {
      throw toIsolateError(error, this.#isolate.isDisposed);
    } finally {
      this.#away--;
      this.#backAt = monotonicMs();
    }
  }

  /** For how long calls run on a thread of their own and none has come back; 0 when there is none. */
  awayForMs(now: number): number {
    return this.#away === 0 ? 0 : now - this.#backAt;
  }

  /** For how long one of these calls should have come back, by its time limit; negative when it still has time. */
  overdueMs(now: number): number {
    return this.#away === 0 ? Number.NEGATIVE_INFINITY : now - this.#backAt - this.#longestMs;
  }

  get isDisposed(): boolean {
    return this.#isolate.isDisposed;
  }

  /** Seconds that it has run. */
  get cpuSeconds(): number {
    return this.#isolate.isDisposed ? 0 : Number(this.#isolate.cpuTime) / 1e9;
  }

  /** Bytes of its heap, as of the last time that it could be asked: while it runs elsewhere, that would wait for it. */
  get heapBytes(): number {
    if (this.#isolate.isDisposed) return 0;
    if (this.#away === 0) this.#heapBytes = this.#isolate.getHeapStatisticsSync().total_heap_size;
    return this.#heapBytes;
  }

  dispose(): void {
    dispose(this.#isolate);
  }
}

/** @throws IsolateError when it cannot be interrupted */
async function withPatience<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new IsolateError("stuck", "the script does not come to the end of its top level");
    timer = setTimeout(() => reject(error), PATIENCE_MS);
  });
  work.catch(() => {}); // what comes after the patience is over
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function dispose(isolate: ivm.Isolate): void {
  try {
    isolate.dispose();
  } catch {
    // It is disposed already.
  }
}

function checkResult(result: unknown): HookResult {
  if (result === undefined || typeof result === "string") return result;
  if (result instanceof ivm.Reference) result.release();
  throw new IsolateError("output", "the sandbox gave back something that is not text");
}

/** The host's own errors by their texts: there are no codes. */
function toIsolateError(error: unknown, isDisposed: boolean): IsolateError {
  if (error instanceof IsolateError) return error;
  const message = error instanceof Error ? error.message : "something odd was thrown";
  if (message === "Script execution timed out.") return new IsolateError("timeout", message);
  if (isDisposed) return new IsolateError("memory", "the isolate took more memory than it may");
  return new IsolateError("broken", message.slice(0, 1000));
}
