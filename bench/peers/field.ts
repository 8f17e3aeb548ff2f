/** Contenders that run side by side and take turns. One that fails leaves the field and is reported. */
import type { Contender, Running, StartOptions } from "./contender.ts";

export interface Runner {
  readonly contender: Contender;
  readonly server: Running;
}

export class Field {
  /** Why a contender is not in the field any more, by its name. */
  readonly failed: Map<string, string>;
  #runners: Runner[] = [];

  private constructor(failed: Map<string, string>) {
    this.failed = failed;
  }

  /** Starts all but those that have failed before. */
  static async start(
    contenders: readonly Contender[],
    options: StartOptions,
    failed = new Map<string, string>(),
  ): Promise<Field> {
    const field = new Field(failed);
    for (const contender of contenders) {
      if (failed.has(contender.name)) continue;
      try {
        field.#runners.push({ contender, server: await contender.start(options) });
      } catch (error) {
        failed.set(contender.name, (error as Error).message);
      }
    }
    return field;
  }

  /** Gives each its turn, another one first each time. */
  async takeTurns(turn: number, act: (runner: Runner) => Promise<void>): Promise<void> {
    const at = turn % Math.max(1, this.#runners.length);
    for (const runner of [...this.#runners.slice(at), ...this.#runners.slice(0, at)]) {
      try {
        await act(runner);
      } catch (error) {
        const { contender, server } = runner;
        this.failed.set(contender.name, server.subject.ended ?? (error as Error).message);
        this.#runners = this.#runners.filter((other) => other !== runner);
        await server.stop();
      }
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#runners.map(({ server }) => server.stop()));
  }
}
