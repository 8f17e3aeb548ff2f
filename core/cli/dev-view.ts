/**
 * What `sluice dev` shows: each request with what was logged for it below its line, failures of scripts with the line of
 * the author's file, and what is wrong with files that were saved.
 */
import type { Diagnostic } from "../config/diagnose.ts";
import type { LoadedConfig } from "../config/load.ts";
import type { ReloadListener } from "../control.ts";
import { describeLine } from "../observe/pretty.ts";
import { frameOf } from "../script/code-frame.ts";
import { type CommandIo, isColoured, renderAll } from "./check.ts";
import { loadUntilSound } from "./until-sound.ts";

type Line = Readonly<Record<string, unknown>>;

/** What was logged for a request waits so long for the request's own line. */
const HOLD_MS = 1000;
/** Lines that wait; more are shown at once. */
const MOST_HELD = 1000;

const COLOURS = { debug: 2, info: 36, warn: 33, error: 31 } as const;

export class DevView implements ReloadListener {
  readonly #io: CommandIo;
  readonly #baseDir: string;
  readonly #isColoured: boolean;
  /** By request. */
  readonly #held = new Map<string, { readonly lines: Line[]; readonly timer: NodeJS.Timeout }>();
  #count = 0;

  /** @param baseDir folder of the configuration, which names of scripts' files start from */
  constructor(io: CommandIo, baseDir: string) {
    this.#io = io;
    this.#baseDir = baseDir;
    this.#isColoured = isColoured(io);
  }

  /** Takes a line of the log, as JSON. */
  write(text: string): void {
    const line = JSON.parse(text) as Line;
    const id = line["requestId"];
    if (typeof id !== "string") return this.#show(line);
    if (line["msg"] !== "request") return this.#hold(id, line);
    const { requestId: _, ...shown } = line;
    this.#show(shown, shortId(id));
    for (const below of this.#take(id)) this.#showBelow(below);
  }

  onRefused(problems: readonly Diagnostic[]): void {
    this.#io.write(`\n${renderAll(problems, this.#io)}`);
    this.#io.write(`${this.#paint(31, "refused")}: what was there before keeps serving\n\n`);
  }

  onRecovered(): void {
    this.#io.write(`${this.#paint(32, "fixed")}: the configuration is sound again\n`);
  }

  /** Gives the first configuration that can be used; until then says what is wrong. */
  waitFor(load: () => Promise<LoadedConfig>, stopped: Promise<unknown>): Promise<LoadedConfig> {
    const show = (problems: readonly Diagnostic[]): void => {
      this.#io.write(`\n${renderAll(problems, this.#io)}`);
      this.#io.write(`${this.#paint(31, "not yet")}: waiting for a change\n\n`);
    };
    return loadUntilSound(load, show, stopped);
  }

  #hold(id: string, line: Line): void {
    if (this.#count >= MOST_HELD) return this.#showBelow(line, shortId(id));
    let held = this.#held.get(id);
    if (held === undefined) {
      const timer = setTimeout(() => {
        for (const each of this.#take(id)) this.#showBelow(each, shortId(id));
      }, HOLD_MS);
      timer.unref();
      this.#held.set(id, (held = { lines: [], timer }));
    }
    held.lines.push(line);
    this.#count++;
  }

  #take(id: string): readonly Line[] {
    const held = this.#held.get(id);
    if (held === undefined) return [];
    this.#held.delete(id);
    clearTimeout(held.timer);
    this.#count -= held.lines.length;
    return held.lines;
  }

  #show(line: Line, id = ""): void {
    const { time, level } = line;
    const at = new Date(String(time)).toTimeString().slice(0, 8);
    const status = Number(line["status"]);
    const severity = status >= 500 ? "error" : status >= 400 ? "warn" : String(level);
    this.#io.write(`${this.#paint(2, at)} ${this.#level(severity)} ${idOf(id)}${describeLine(line)}\n`);
  }

  /** What belongs to a request; with its id when it is not below the request's line. */
  #showBelow(line: Line, id = ""): void {
    const { level, script, err, requestId: _, route: __, fields, ...rest } = line;
    const stack = (err as { stack?: string } | undefined)?.stack;
    const who = script === undefined ? "" : `${script}: `;
    const told = describeLine({ ...rest, ...(fields as object | undefined) });
    this.#io.write(`         ${this.#level(String(level))} ${idOf(id)}${who}${told}\n`);
    if (stack === undefined) return;
    const frame = frameOf(stack, this.#baseDir, this.#isColoured);
    const text = frame === undefined ? stack : `${frame}\n${stack}`;
    this.#io.write(`${text.replace(/^/gm, "           ")}\n`);
  }

  #level(level: string): string {
    return this.#paint(COLOURS[level as keyof typeof COLOURS] ?? 0, level.padEnd(5));
  }

  #paint(code: number, text: string): string {
    return this.#isColoured ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}

const idOf = (id: string): string => (id === "" ? "" : `#${id} `);

/** Ids of our own differ only at their end within a process. */
function shortId(id: string): string {
  return /^[0-9a-f]{12}-(\w+)$/.exec(id)?.[1] ?? id.slice(-8);
}
