/** Reads what a gateway process has written down, also when it has ended since. */
import { StringDecoder } from "node:string_decoder";
import type { Readable } from "node:stream";
import type { NamedScript, ProcessNote } from "./messages.ts";

export class ProcessNotes {
  readonly #running = new Map<number, NamedScript>();
  #stalled: string | undefined;
  #isOver: boolean;

  /**
   * @param stream none when the process cannot be told where to write
   * @param onOver told when nothing more will come
   */
  constructor(stream: Readable | null | undefined, onOver: () => void) {
    this.#isOver = !stream;
    const decoder = new StringDecoder("utf8");
    let rest = "";
    stream?.on("data", (chunk: Buffer) => {
      const lines = (rest + decoder.write(chunk)).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.#note(JSON.parse(line) as ProcessNote);
    });
    stream?.on("error", () => {}); // `close` follows
    stream?.on("close", () => {
      this.#isOver = true;
      onOver();
    });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Scripts in the middle of a call that had lasted for a while. */
  get scripts(): NamedScript[] {
    const byVersion = new Map([...this.#running.values()].map((script) => [script.version, script]));
    return [...byVersion.values()];
  }

  /** Why the process ended itself, if it did. */
  get stalled(): string | undefined {
    return this.#stalled;
  }

  #note({ thread, script, stalled }: ProcessNote): void {
    if (script === undefined) this.#running.delete(thread);
    else this.#running.set(thread, script);
    this.#stalled ??= stalled;
  }
}
