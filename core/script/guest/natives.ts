/**
 * Puts functions in front of what JavaScript has built in and runs for long. V8 looks whether it shall stop where a
 * function begins, not within a built-in, and in a loop only now and then: with a function around `JSON.parse`, a loop
 * of it is cut in time. What would run for minutes in one call, or make what no memory holds, is refused.
 */
export function guestNatives(): void {
  type Native = (this: unknown, ...args: unknown[]) => unknown;
  /** What the size of a call depends on. */
  type Measure = (self: unknown, args: readonly unknown[]) => unknown;
  const { apply } = Reflect;
  const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf } = Object;
  const { isArray } = Array;
  const { isView } = ArrayBuffer;
  /** More fit into no script's memory, but can be claimed. */
  const MOST_ITEMS = 10_000_000;
  /** Of what is not an array of its own keys already. */
  const MOST_KEYS = 1_000_000;
  const MOST_CHARS = 16 * 1024 * 1024;

  const guard = (holder: object, names: string, measure: Measure, most: number, what: string): void => {
    for (const name of names.split(" ")) {
      const known = getOwnPropertyDescriptor(holder, name);
      if (known === undefined) continue;
      const native = known.value as Native;
      const { own } = {
        own(this: unknown, ...args: unknown[]) {
          if ((measure(this, args) as number) > most) throw new RangeError(`${what} is too large here`);
          return apply(native, this, args);
        },
      };
      defineProperty(own, "name", { value: native.name });
      defineProperty(own, "length", { value: native.length });
      defineProperty(holder, name, { ...known, value: own });
    }
  };

  const nothing: Measure = () => 0;
  guard(JSON, "stringify", nothing, 0, "");
  const ofUris = "decodeURI decodeURIComponent encodeURI encodeURIComponent escape unescape";
  guard(globalThis, ofUris, nothing, 0, "");
  const ofTyped = "copyWithin fill includes indexOf join lastIndexOf reverse set slice sort toLocaleString";
  guard(getPrototypeOf(Uint8Array.prototype) as object, `${ofTyped} toReversed toSorted`, nothing, 0, "");

  const lengthOf = (value: unknown): unknown =>
    value === null || value === undefined ? 0 : (value as { readonly length?: unknown }).length;
  const ofItems =
    "concat copyWithin every fill filter find findIndex findLast findLastIndex flat flatMap forEach includes indexOf " +
    "join lastIndexOf map pop push reduce reduceRight reverse shift slice some sort splice toLocaleString toReversed " +
    "toSorted toSpliced toString unshift with";
  guard(Array.prototype, ofItems, lengthOf, MOST_ITEMS, "The array");
  guard(Array, "from", (_self, [items]) => lengthOf(items), MOST_ITEMS, "The array");
  guard(
    String,
    "raw",
    (_self, [text]) => lengthOf((text as { raw?: unknown } | undefined)?.raw),
    MOST_ITEMS,
    "The text",
  );

  const keysOf: Measure = (_self, args) => {
    let most = 0;
    for (let i = 0; i < args.length; i++) {
      const of = args[i];
      if (typeof of !== "string" && !isArray(of) && !isView(of)) continue;
      const { length } = of as string;
      if (length > most) most = length;
    }
    return most;
  };
  const ofKeys = "assign entries getOwnPropertyDescriptors getOwnPropertyNames keys values";
  guard(Object, ofKeys, keysOf, MOST_KEYS, "The object");
  guard(Reflect, "ownKeys", keysOf, MOST_KEYS, "The object");

  guard(JSON, "parse", (_self, [text]) => lengthOf(text), MOST_CHARS, "The text");
  const ofTexts = "localeCompare match matchAll normalize replace replaceAll search split toLocaleLowerCase";
  guard(String.prototype, `${ofTexts} toLocaleUpperCase toUpperCase`, lengthOf, MOST_CHARS, "The text");
  const repeated: Measure = (self, [count]) => (lengthOf(self) as number) * Number(count);
  guard(String.prototype, "repeat", repeated, MOST_CHARS, "The text");
  guard(String.prototype, "padEnd padStart", (_self, [length]) => Number(length), MOST_CHARS, "The text");
}
