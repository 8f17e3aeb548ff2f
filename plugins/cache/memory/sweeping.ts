/** Keeps memory from being held by what nobody asks for again, a little at a time so that no request waits for it. */

/** A pass over all keys begins so often. */
const PASS_EVERY_MS = 30_000;
/** Keys that are looked at in one turn: some 50 microseconds. */
const KEYS_PER_TURN = 256;

interface Swept {
  /** @returns false at the end of a pass */
  sweep(keys: number): boolean;
}

/** Gives a function that ends it. */
export function startSweeping(swept: Swept): () => void {
  let turn: NodeJS.Immediate | undefined;
  const next = (): void => {
    turn = swept.sweep(KEYS_PER_TURN) ? setImmediate(next) : undefined;
  };
  const timer = setInterval(() => {
    turn ??= setImmediate(next);
  }, PASS_EVERY_MS).unref();
  return () => {
    clearInterval(timer);
    clearImmediate(turn);
  };
}
