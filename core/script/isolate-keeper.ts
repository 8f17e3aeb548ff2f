/** The isolate of a script on one thread, with all stages that the script is: made anew when it was lost. */
import { type HostCallback, IsolateError, ScriptIsolate } from "./isolate.ts";
import type { ScriptBundle } from "./script.ts";
import { describeStage, type ScriptStage } from "./script-stage.ts";

export class IsolateKeeper {
  readonly #bundle: ScriptBundle;
  readonly #memoryBytes: number;
  readonly #onHostCall: HostCallback;
  /** The number that the isolate has for each stage. */
  readonly #stages = new Map<ScriptStage, number>();
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
    const isolate = this.#isolate ?? (await this.open());
    this.#stages.set(stage, await isolate.addStage(describeStage(stage)));
  }

  removeStage(stage: ScriptStage): void {
    this.#stages.delete(stage);
  }

  /** Opens an isolate with all stages in it; all who ask meanwhile share it. @throws IsolateError */
  open(): Promise<ScriptIsolate> {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /** Throws away an isolate that cannot be used any more. */
  lose(isolate: ScriptIsolate): void {
    if (isolate !== this.#isolate) return;
    this.#cpuSeconds = this.cpuSeconds;
    this.#isolateSeconds = 0;
    this.#isolate = undefined;
    isolate.dispose();
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
    for (const stage of this.#stages.keys()) {
      this.#stages.set(stage, await isolate.addStage(describeStage(stage)));
    }
    if (this.#isClosed) {
      isolate.dispose();
      throw new IsolateError("broken", "the script is closed");
    }
    this.#isolate = isolate;
    return isolate;
  }
}
