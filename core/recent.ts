/**
 * Values by key, of which those that were asked for last are kept. They lie in two maps: when the young one is full it
 * becomes the old one, which is forgotten. So nothing moves while what is asked for is young.
 */
export class Recent<V> {
  readonly #mostEntries: number;
  readonly #mostBytes: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();
  #youngBytes = 0;
  #oldBytes = 0;
  readonly #bytesOf: (value: V) => number;

  /** @param bytesOf about how much memory a value takes */
  constructor(mostEntries: number, mostBytes: number, bytesOf: (value: V) => number) {
    this.#mostEntries = mostEntries / 2;
    this.#mostBytes = mostBytes / 2;
    this.#bytesOf = bytesOf;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get bytes(): number {
    return this.#youngBytes + this.#oldBytes;
  }

  get(key: string): V | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  /** A value that takes more than half of the room is not kept. */
  set(key: string, value: V): void {
    this.delete(key);
    const bytes = this.#bytesOf(value);
    if (bytes > this.#mostBytes) return;
    if (this.#young.size >= this.#mostEntries || this.#youngBytes + bytes > this.#mostBytes) {
      this.#old = this.#young;
      this.#oldBytes = this.#youngBytes;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(key, value);
    this.#youngBytes += bytes;
  }

  delete(key: string): void {
    const young = this.#young.get(key);
    if (young !== undefined) this.#youngBytes -= this.#bytesOf(young);
    this.#young.delete(key);
    const old = this.#old.get(key);
    if (old !== undefined) this.#oldBytes -= this.#bytesOf(old);
    this.#old.delete(key);
  }
}
