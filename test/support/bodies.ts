/** What bodies are tested with. */
import type { Producer } from "../../core/body.ts";

/** A producer that keeps what it was told. */
export class FakeProducer implements Producer {
  readonly told: string[] = [];
  onAbort: ((reason: Error) => void) | undefined;
  pause(): void {
    this.told.push("pause");
  }
  resume(): void {
    this.told.push("resume");
  }
  abort(reason: Error): void {
    this.told.push(`abort: ${reason.message}`);
    this.onAbort?.(reason);
  }
}
