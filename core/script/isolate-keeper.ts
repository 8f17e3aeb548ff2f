/** The isolate of a script on one thread, with all stages that the script is: made anew when it was lost. */
import { type HostCallback, IsolateError, ScriptIsolate } from "./isolate.ts";
import type { ScriptBundle } from "./script.ts";
import { describeStage, type ScriptStage } from "./script-stage.ts";

export class IsolateKeeper {
  readonly #bundle: ScriptBundle;
  readonly #memoryBytes: number;
  readonly #onHostCall: HostCallback;
  /** The number that the isolate has for each stage: below their count, with those that are free. */
  readonly #stages = new Map<ScriptStage, number>();
  readonly #free: number[] = [];
  #isolate: ScriptIsolate | undefined;
  #opening: Promise<ScriptIsolate> | undefined;
  #isClosed = false;
  /** Of isolates that are gone, and of the one that there is. */
  #cpuSeconds = 0;
  #isolateSeconds = 0;

  constructor(bundle: ScriptBundle, memoryBytes: number, onHostCall: HostCallback) {
    this.#bundle = bundle;
    this.#memoryBytes = memoryBytes;
    this.#onHostCall = onHostCall;
  }

  /** The isolate, if there is one now. */
  get isolate(): ScriptIsolate | undefined {
    return this.#isolate;
  }

  /** Seconds that it has run; of an isolate that took too much memory, as of the last time that this was asked. */
  get cpuSeconds(): number {
    if (this.#isolate?.isDisposed === false) this.#isolateSeconds = this.#isolate.cpuSeconds;
    return this.#cpuSeconds + this.#isolateSeconds;
  }

  /** The number of a stage in the isolate; undefined when it is not known there. */
  numberOf(stage: ScriptStage): number | undefined {
    return this.#stages.get(stage);
  }

  /** Resolves when the isolate can run hooks of a stage. @throws IsolateError */
  async addStage(stage: ScriptStage): Promise<void> {
    const number = this.#free.pop() ?? this.#stages.size;
    this.#stages.set(stage, number);
    try {
      const isolate = this.#isolate ?? (await this.open());
      await isolate.addStage(number, describeStage(stage)).catch(async (error: unknown) => {
        if (isolate.isDisposed) this.lose(isolate); // a call has ended it
        if (isolate === this.#isolate || this.#isClosed) throw error;
        await (this.#isolate ?? this.open());
      });
    } catch (error) {
      this.removeStage(stage);
      throw error;
    }
  }

  removeStage(stage: ScriptStage): void {
    const number = this.#stages.get(stage);
    if (number === undefined) return;
    this.#stages.delete(stage);
    this.#free.push(number);
  }

  /** Opens an isolate with all stages in it; all who ask meanwhile share it. @throws IsolateError */
  open(): Promise<ScriptIsolate> {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /** Throws away an isolate that cannot be used any more; false when it was already. */
  lose(isolate: ScriptIsolate): boolean {
    if (isolate !== this.#isolate) return false;
    this.#cpuSeconds = this.cpuSeconds;
    this.#isolateSeconds = 0;
    this.#isolate = undefined;
    isolate.dispose();
    return true;
  }

  close(): void {
    this.#isClosed = true;
    if (this.#isolate !== undefined) this.lose(this.#isolate);
  }

  async #open(): Promise<ScriptIsolate> {
    const { code, file } = this.#bundle;
    const isolate = await ScriptIsolate.open({
      code,
      file,
      memoryBytes: this.#memoryBytes,
      onHostCall: this.#onHostCall,
    });
    try {
      for (const [stage, number] of this.#stages) await isolate.addStage(number, describeStage(stage));
      if (this.#isClosed) throw new IsolateError("broken", "the script is closed");
    } catch (error) {
      isolate.dispose();
      throw error;
    }
    this.#isolate = isolate;
    return isolate;
  }
}
