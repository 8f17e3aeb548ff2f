/**
 * Regular expressions that no text can hold up: they take time in proportion to the text, where JavaScript's own may
 * take time exponential in it. A program of states is run over the text, all states at once (Thompson 1968).
 * What cannot be matched so is refused: references to groups, and looking ahead or behind.
 */

/** How many steps matching may still take. One step is one state at one character: some ten nanoseconds. */
export interface Steps {
  left: number;
}

/** Matching took more steps than it may. */
export class OutOfSteps extends Error {}

/** A compiled expression. */
export interface LinearRegex {
  /**
   * True when it matches somewhere in the text.
   * @throws OutOfSteps
   */
  test(text: string): boolean;
  toString(): string;
}

type Assertion = "^" | "$" | "\\b" | "\\B";

type Part =
  | { readonly kind: "char"; readonly source: string }
  | { readonly kind: "assert"; readonly what: Assertion }
  | { readonly kind: "sequence"; readonly parts: readonly Part[] }
  | { readonly kind: "choice"; readonly parts: readonly Part[] }
  | { readonly kind: "repeat"; readonly part: Part; readonly min: number; readonly max: number };

/** Most states of one expression: `{n,m}` is that many copies. */
const MAX_STATES = 5000;

/** Reads an expression that `RegExp` has accepted. */
class Parser {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  parse(): Part {
    const parts = [this.#sequence()];
    while (this.#take("|")) parts.push(this.#sequence());
    return parts.length === 1 ? parts[0]! : { kind: "choice", parts };
  }

  #sequence(): Part {
    const parts: Part[] = [];
    while (this.#at < this.#source.length && !"|)".includes(this.#source[this.#at]!)) {
      parts.push(this.#repeated(this.#atom()));
    }
    return { kind: "sequence", parts };
  }

  #repeated(part: Part): Part {
    const [whole, min, comma, max] = this.#match(/(?:[*+?]|\{(\d+)(,?)(\d*)\})/y) ?? [];
    if (whole === undefined) return part;
    this.#take("?"); // lazy or not, it matches the same texts
    if (whole === "*") return { kind: "repeat", part, min: 0, max: Infinity };
    if (whole === "+") return { kind: "repeat", part, min: 1, max: Infinity };
    if (whole === "?") return { kind: "repeat", part, min: 0, max: 1 };
    const atMost = max === "" ? Infinity : Number(max);
    return { kind: "repeat", part, min: Number(min), max: comma === "" ? Number(min) : atMost };
  }

  #atom(): Part {
    if (this.#take("(")) {
      if (this.#take("?")) this.#groupHead();
      const part = this.parse();
      this.#take(")");
      return part;
    }
    const assertion = this.#match(/[\^$]|\\[bB]/y);
    if (assertion !== undefined) return { kind: "assert", what: assertion[0] as Assertion };
    if (this.#match(/\\(?:[1-9]|k)/y) !== undefined) throw new SyntaxError("it refers to a group");
    const char =
      /\[(?:\\.|[^\]\\])*\]|\\[pP]\{[^}]*\}|\\u\{[^}]*\}|\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\u[\da-fA-F]{4}|\\x[\da-fA-F]{2}|\\c[a-zA-Z]|\\.|./suy;
    return { kind: "char", source: this.#match(char)![0] };
  }

  #groupHead(): void {
    if (this.#match(/:|<(?![=!])[^>]*>/y) !== undefined) return;
    const looks = this.#match(/<?[=!]/y) !== undefined;
    throw new SyntaxError(looks ? "it looks ahead or behind" : "it changes flags inside");
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #match(regex: RegExp): RegExpExecArray | undefined {
    regex.lastIndex = this.#at;
    const match = regex.exec(this.#source);
    if (match === null) return undefined;
    this.#at += match[0].length;
    return match;
  }
}

/** Which characters one place of an expression takes. */
class CharSet {
  readonly #ascii = new Uint8Array(128);
  readonly #regex: RegExp;

  constructor(source: string) {
    this.#regex = new RegExp(`^${source}$`, "u");
    for (let code = 0; code < 128; code++) this.#ascii[code] = this.#test(code) ? 1 : 0;
  }

  has(code: number): boolean {
    return code < 128 ? this.#ascii[code] === 1 : this.#test(code);
  }

  #test(code: number): boolean {
    return this.#regex.test(String.fromCodePoint(code));
  }
}

type State =
  | { readonly kind: "char"; readonly set: CharSet }
  | { readonly kind: "assert"; readonly what: Assertion }
  | { readonly kind: "split"; a: number; b: number }
  | { readonly kind: "match" };

/** States in a row: each but `split` and `match` goes on to the one after it. */
class Program {
  readonly states: State[] = [];
  readonly #sets = new Map<string, CharSet>();

  constructor(part: Part) {
    this.#emit(part);
    this.#push({ kind: "match" });
  }

  #push<S extends State>(state: S): S {
    if (this.states.length >= MAX_STATES) throw new SyntaxError("it repeats too much");
    this.states.push(state);
    return state;
  }

  #split(): { a: number; b: number } {
    const a = this.states.length + 1;
    return this.#push({ kind: "split", a, b: a });
  }

  #emit(part: Part): void {
    if (part.kind === "char") {
      let set = this.#sets.get(part.source);
      if (set === undefined) this.#sets.set(part.source, (set = new CharSet(part.source)));
      this.#push({ kind: "char", set });
    } else if (part.kind === "assert") this.#push({ kind: "assert", what: part.what });
    else if (part.kind === "repeat") this.#emitRepeat(part.part, part.min, part.max);
    else if (part.kind === "choice") this.#emitChoice(part.parts);
    else for (const each of part.parts) this.#emit(each);
  }

  #emitChoice(parts: readonly Part[]): void {
    const ends: { a: number; b: number }[] = [];
    for (const [i, part] of parts.entries()) {
      if (i === parts.length - 1) {
        this.#emit(part);
        break;
      }
      const fork = this.#split();
      this.#emit(part);
      ends.push(this.#split());
      fork.b = this.states.length;
    }
    for (const end of ends) end.a = end.b = this.states.length;
  }

  #emitRepeat(part: Part, min: number, max: number): void {
    for (let i = 0; i < min; i++) this.#emit(part);
    if (max === Infinity) {
      const begin = this.states.length;
      const fork = this.#split();
      this.#emit(part);
      this.#split().a = begin;
      const last = this.states.at(-1) as { b: number };
      last.b = begin;
      fork.b = this.states.length;
      return;
    }
    const forks: { b: number }[] = [];
    for (let i = min; i < max; i++) {
      forks.push(this.#split());
      this.#emit(part);
    }
    for (const fork of forks) fork.b = this.states.length;
  }
}

/** The states that a run is in, each once. */
class StateSet {
  readonly list: Uint16Array;
  readonly #seen: Uint32Array;
  #round = 0;
  size = 0;

  constructor(states: number) {
    this.list = new Uint16Array(states);
    this.#seen = new Uint32Array(states);
  }

  clear(): void {
    this.size = 0;
    if (++this.#round === 0xffff_ffff) {
      this.#seen.fill(0);
      this.#round = 1;
    }
  }

  /** False when it was there already. */
  add(state: number): boolean {
    if (this.#seen[state] === this.#round) return false;
    this.#seen[state] = this.#round;
    this.list[this.size++] = state;
    return true;
  }
}

const isWord = (code: number): boolean =>
  (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || code === 95 || (code >= 97 && code <= 122);

class Run implements LinearRegex {
  readonly #source: string;
  readonly #steps: Steps;
  readonly #states: readonly State[];
  #now: StateSet;
  #then: StateSet;

  constructor(source: string, steps: Steps) {
    this.#source = source;
    this.#steps = steps;
    this.#states = new Program(new Parser(source).parse()).states;
    this.#now = new StateSet(this.#states.length);
    this.#then = new StateSet(this.#states.length);
  }

  toString(): string {
    return `linear ${this.#source}`;
  }

  test(text: string): boolean {
    let before = -1;
    let now = this.#now;
    let then = this.#then;
    now.clear();
    for (let at = 0; ; ) {
      const code = at < text.length ? text.codePointAt(at)! : -1;
      now.add(0); // a match may begin anywhere
      then.clear();
      for (let i = 0; i < now.size; i++) {
        const index = now.list[i]!;
        const state = this.#states[index]!;
        if (state.kind === "match") return true;
        if (state.kind === "split") {
          now.add(state.a);
          now.add(state.b);
        } else if (state.kind === "assert") {
          if (holds(state.what, before, code)) now.add(index + 1);
        } else if (code !== -1 && state.set.has(code)) then.add(index + 1);
      }
      this.#steps.left -= now.size;
      if (this.#steps.left < 0) throw new OutOfSteps("matching takes too long");
      if (code === -1) return false;
      [now, then] = [then, now];
      at += code > 0xffff ? 2 : 1;
      before = code;
    }
  }
}

/** @param before the character before the place, -1 at the beginning; @param after the one after it, -1 at the end */
function holds(what: Assertion, before: number, after: number): boolean {
  if (what === "^") return before === -1;
  if (what === "$") return after === -1;
  return (isWord(before) !== isWord(after)) === (what === "\\b");
}

/**
 * Compiles an expression as JavaScript has them with the flag `u`.
 * @param steps what matching counts down
 * @throws SyntaxError when it is none, or cannot be matched in linear time
 */
export function compileLinearRegex(source: string, steps: Steps): LinearRegex {
  new RegExp(source, "u");
  try {
    return new Run(source, steps);
  } catch (error) {
    throw new SyntaxError(
      `The pattern ${JSON.stringify(source)} cannot be matched in linear time: ${(error as Error).message}`,
      { cause: error },
    );
  }
}
