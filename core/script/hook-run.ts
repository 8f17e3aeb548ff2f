/** One call of a hook, from its beginning until it has settled. */
import { GatewayError } from "../errors.ts";
import type { Abortable, Exchange } from "../exchange.ts";
import type { ScriptStage } from "./script-stage.ts";

export class HookRun implements Abortable {
  /** Tells it from others of the same isolate. */
  readonly id: number;
  readonly x: Exchange;
  readonly stage: ScriptStage;
  /** What the hook gave, once it has settled; empty for nothing. */
  settled: string | undefined;
  /** How often it asked the host. */
  calls: number;
  /** Characters that it has logged. */
  logged: number;
  /** How often it asked other servers. */
  fetches: number;
  #controller: AbortController | undefined;
  #waiting: { resolve(result: string): void; reject(error: unknown): void } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isOver: boolean;

  constructor(id: number, x: Exchange, stage: ScriptStage) {
    this.id = id;
    this.x = x;
    this.stage = stage;
    this.settled = undefined;
    this.calls = 0;
    this.logged = 0;
    this.fetches = 0;
    this.#controller = undefined;
    this.#waiting = undefined;
    this.#timer = undefined;
    this.#isOver = false;
  }

  /** Nobody waits for it any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Aborts when nobody waits for it any more. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#isOver) this.#controller.abort();
    return this.#controller.signal;
  }

  /** Resolves when the hook has settled; rejects when it fails, takes too long, or the client goes away. */
  wait(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      const { bundle, limits } = this.stage;
      const { wallMs } = limits;
      this.#timer = setTimeout(() => {
        const cause = new Error(`script ${bundle.name}: the hook has not settled after ${wallMs} ms`);
        this.fail(new GatewayError("SCRIPT_TIMEOUT", { cause }));
      }, wallMs);
      this.x.onAbort(this);
    });
  }

  /** The hook has settled. */
  settle(result: string): void {
    if (this.settled !== undefined || this.#isOver) return;
    this.settled = result;
    if (this.#waiting === undefined) return;
    this.end();
    this.#waiting.resolve(result);
  }

  fail(error: unknown): void {
    if (this.#isOver) return;
    this.end();
    this.#waiting?.reject(error);
  }

  abort(reason: Error): void {
    this.fail(new GatewayError("CLIENT_CLOSED", { cause: reason }));
  }

  /** Nobody waits for it any more: what it has begun is given up. */
  end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#controller?.abort();
  }
}
