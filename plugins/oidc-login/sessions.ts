/** Sessions as texts that browsers keep. Those that were opened lately are remembered: it is dear to open one. */
import { type Naming, readConsumer } from "../../core/naming.ts";
import type { Consumer } from "../../core/plugin.ts";
import { Recent } from "../../core/recent.ts";
import type { Seal } from "./seal.ts";
import { claimsOf, type Session } from "./session.ts";

/** Says what is inside; another number when that changes. */
const PURPOSE = "session 1";
const MOST_REMEMBERED = 20_000;
const MOST_BYTES = 16 * 1024 ** 2;

export interface Opened {
  readonly session: Session;
  /** Undefined when its claims do not say who it is. */
  readonly consumer: Consumer | undefined;
  /** About what it takes in memory. */
  readonly bytes: number;
}

export class Sessions {
  readonly #seal: Seal;
  readonly #naming: Naming;
  readonly #recent = new Recent<Opened>(MOST_REMEMBERED, MOST_BYTES, ({ bytes }) => bytes);

  constructor(seal: Seal, naming: Naming) {
    this.#seal = seal;
    this.#naming = naming;
  }

  seal(session: Session): string {
    return this.#seal.seal(JSON.stringify(session), PURPOSE);
  }

  /** @returns undefined for what is no session of this gateway's */
  open(sealed: string): Opened | undefined {
    const known = this.#recent.get(sealed);
    if (known !== undefined) return known;
    const text = this.#seal.open(sealed, PURPOSE);
    if (text === undefined) return undefined;
    const opened = this.read(JSON.parse(text) as Session, sealed.length);
    // What came is a part of a line, which would be kept with it.
    this.#recent.set(Buffer.from(sealed, "latin1").toString("latin1"), opened);
    return opened;
  }

  read(session: Session, chars: number): Opened {
    const consumer = readConsumer(claimsOf(session), this.#naming, session.id);
    return { session, consumer, bytes: 3 * chars + 500 };
  }
}
