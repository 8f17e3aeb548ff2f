/**
 * Puts functions in front of what JavaScript has built in and runs for long. V8 looks whether it shall stop where a
 * function begins, not within a built-in, and in a loop only now and then: with a function around `JSON.parse`, a loop
 * of it is cut in time. What would run for hours in one call, or give what no memory holds, is refused.
 */
export function guestNatives(): void {
  type Native = (this: unknown, ...args: unknown[]) => unknown;
  const { apply } = Reflect;
  const { defineProperty, getOwnPropertyDescriptor } = Object;
  const { isArray } = Array;
  const { isView } = ArrayBuffer;
  /** Items of what arrays' methods go through: more fit into no script's memory, but can be claimed. */
  const MOST_ITEMS = 10_000_000;
  /** Keys of something whose every item is one. */
  const MOST_KEYS = 1_000_000;
  const MOST_CHARS = 16 * 1024 * 1024;

  const put = (holder: object, names: readonly string[], around: (native: Native) => Native): void => {
    for (const name of names) {
      const known = getOwnPropertyDescriptor(holder, name);
      if (known === undefined) continue;
      const native = known.value as Native;
      const own = around(native);
      defineProperty(own, "name", { value: native.name });
      defineProperty(own, "length", { value: native.length });
      defineProperty(holder, name, { ...known, value: own });
    }
  };

  /** As it is, but where a function begins it can be stopped. */
  const stoppable = (native: Native): Native =>
    ({
      own(this: unknown, ...args: unknown[]) {
        return apply(native, this, args);
      },
    }).own;
  put(JSON, ["parse", "stringify"], stoppable);
  put(
    globalThis,
    ["decodeURI", "decodeURIComponent", "encodeURI", "encodeURIComponent", "escape", "unescape"],
    stoppable,
  );
  put(
    String.prototype,
    ["localeCompare", "normalize", "replaceAll", "split", "toLocaleLowerCase", "toLocaleUpperCase"],
    stoppable,
  );
  put(String.prototype, ["toUpperCase"], stoppable);
  const typed = Object.getPrototypeOf(Uint8Array.prototype) as object;
  const ofTyped = ["copyWithin", "fill", "includes", "indexOf", "join", "lastIndexOf", "reverse", "set"];
  put(typed, [...ofTyped, "slice", "sort", "toReversed", "toSorted", "toLocaleString", "with"], stoppable);

  const countable = (native: Native): Native =>
    ({
      own(this: { readonly length?: unknown } | null | undefined, ...args: unknown[]) {
        if (this !== null && this !== undefined && (this.length as number) > MOST_ITEMS)
          throw new RangeError(`Arrays can have ${MOST_ITEMS} items here`);
        return apply(native, this, args);
      },
    }).own as Native;
  const ofItems = ["concat", "copyWithin", "every", "fill", "filter", "find", "findIndex", "findLast"];
  ofItems.push("findLastIndex", "flat", "flatMap", "forEach", "includes", "indexOf", "join", "lastIndexOf");
  ofItems.push("map", "pop", "push", "reduce", "reduceRight", "reverse", "shift", "slice", "some", "sort");
  ofItems.push("splice", "toLocaleString", "toReversed", "toSorted", "toSpliced", "toString", "unshift");
  put(Array.prototype, [...ofItems, "with"], countable);

  const ofCountable =
    (countOf: (first: { readonly length?: unknown; readonly raw?: unknown }) => unknown) =>
    (native: Native): Native =>
      ({
        own(this: unknown, ...args: unknown[]) {
          const [first] = args;
          if (typeof first === "object" && first !== null && (countOf(first) as number) > MOST_ITEMS)
            throw new RangeError(`Arrays can have ${MOST_ITEMS} items here`);
          return apply(native, this, args);
        },
      }).own;
  put(
    Array,
    ["from"],
    ofCountable((items) => items.length),
  );
  put(
    String,
    ["raw"],
    ofCountable(({ raw }) => (raw as { length?: unknown } | undefined)?.length),
  );

  const keyed = (native: Native): Native =>
    ({
      own(this: unknown, ...args: unknown[]) {
        for (let i = 0; i < args.length; i++) {
          const of = args[i];
          if ((typeof of === "string" || isArray(of) || isView(of)) && (of as string).length > MOST_KEYS)
            throw new RangeError(`This can be done with ${MOST_KEYS} keys here`);
        }
        return apply(native, this, args);
      },
    }).own;
  const ofKeys = ["assign", "entries", "getOwnPropertyDescriptors", "getOwnPropertyNames", "keys", "values"];
  put(Object, ofKeys, keyed);
  put(Reflect, ["ownKeys"], keyed);

  const long = (charsOf: (text: string, count: number) => number) => (native: Native) =>
    ({
      own(this: unknown, ...args: unknown[]) {
        if (charsOf(String(this), Number(args[0])) > MOST_CHARS)
          throw new RangeError(`Texts made so can have ${MOST_CHARS} characters here`);
        return apply(native, this, args);
      },
    }).own;
  put(
    String.prototype,
    ["repeat"],
    long(({ length }, count) => length * count),
  );
  put(
    String.prototype,
    ["padEnd", "padStart"],
    long((_text, count) => count),
  );
}
