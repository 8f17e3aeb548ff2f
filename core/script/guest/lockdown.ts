/** Takes away what scripts could escape the limits with, and sets up how the host is asked. */
import type { AskHost, Guest } from "./shape.ts";

export function guestLockdown(g: Guest, askHost: AskHost): void {
  /** More than any body that may be read, as JSON. What is longer costs the host memory that no limit counts. */
  const MOST_CHARS = 128 * 1024 * 1024;
  const global = globalThis as Record<string, unknown>;
  // Memory that no limit counts, code that no timeout cuts, and a sight of when memory is collected.
  for (const name of [
    "WebAssembly",
    "SharedArrayBuffer",
    "Atomics",
    "WeakRef",
    "FinalizationRegistry",
    "gc",
  ]) {
    // `gc` stays, empty, in a Node that was started with --expose-gc.
    if (!Reflect.deleteProperty(global, name)) global[name] = undefined;
  }
  const { prototype } = ArrayBuffer;
  const Native = ArrayBuffer;
  for (const name of ["resize", "resizable", "maxByteLength", "transfer", "transferToFixedLength"]) {
    delete (prototype as unknown as Record<string, unknown>)[name];
  }
  /** Buffers that can grow escape the limit on memory. */
  const Fixed = function (length: number, options?: { maxByteLength?: number }): ArrayBuffer {
    if (options?.maxByteLength !== undefined) throw new RangeError("An ArrayBuffer cannot be resizable here");
    return Reflect.construct(Native, [length], new.target ?? Native) as ArrayBuffer;
  };
  Object.defineProperties(Fixed, {
    name: { value: "ArrayBuffer" },
    prototype: { value: prototype, writable: false },
    isView: { value: Native.isView },
    [Symbol.species]: { get: () => Fixed },
  });
  Object.defineProperty(prototype, "constructor", { value: Fixed, writable: true, configurable: true });
  Object.defineProperty(global, "ArrayBuffer", { value: Fixed, writable: true, configurable: true });

  interface Waiting {
    readonly run: number;
    /** Made where it was begun: its stack says where. */
    readonly error: Error;
    resolve(result: string): void;
    reject(error: Error): void;
  }
  const BEGUN = "it has begun";
  const pending = new Map<number, Waiting>();
  const guest = g as { -readonly [K in keyof Guest]: Guest[K] };
  guest.running = 0;
  guest.ask = (op, run, argument) => {
    // A script can change what makes its arguments texts, and objects would be copied to the host, whatever they are.
    if (typeof run !== "number" || typeof argument !== "string") throw new TypeError("This is no text");
    if (argument.length > MOST_CHARS) throw new RangeError("This is too much to give to the gateway");
    try {
      return askHost(op, run, argument);
    } catch {
      // With no room left on the stack it throws an error of the host, whose trace is not for scripts.
      throw new RangeError("Maximum call stack size exceeded");
    }
  };
  g.demand = (op, run, argument) => {
    const answer = g.ask(op, run, argument);
    if (answer.charCodeAt(0) === 61) return answer.slice(1);
    throw new Error(answer.slice(1));
  };
  g.start = (op, run, argument) =>
    new Promise<string>((resolve, reject) => {
      const error = new Error(BEGUN);
      pending.set(Number(g.demand(op, run, argument)), { run, error, resolve, reject });
    });
  g.onEnded = (operation, outcome, result) => {
    const waiting = pending.get(operation);
    pending.delete(operation);
    g.running = waiting?.run ?? 0;
    if (outcome === 1) waiting?.resolve(result);
    else if (outcome === 0 && waiting !== undefined) {
      const { error } = waiting;
      const frames = String(error.stack).slice(`Error: ${BEGUN}`.length);
      error.message = result;
      error.stack = `Error: ${result}${frames}`;
      waiting.reject(error);
    }
  };
}
