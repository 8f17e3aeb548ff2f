/** What scripts throw, made harmless: read in here, where time is limited, and given to the host as text. */
import type { Guest } from "./shape.ts";

export function guestErrors(g: Guest): void {
  const MESSAGE_CHARS = 2000;
  const STACK_CHARS = 8000;
  const { stringify } = JSON;
  const { defineProperty, freeze, hasOwn } = Object;

  // A host that looks at an error of V8 itself, such as a full stack, must not run code of the script: no formatter, no
  // getter on what such errors inherit from. Assignments on instances go on working.
  const natives = [
    Error,
    AggregateError,
    EvalError,
    RangeError,
    ReferenceError,
    SyntaxError,
    TypeError,
    URIError,
  ];
  for (const native of natives) {
    const proto = native.prototype as unknown as Record<string, unknown>;
    for (const key of ["name", "message", "constructor", "toString"]) {
      if (!hasOwn(proto, key)) continue;
      const value = proto[key];
      defineProperty(proto, key, {
        get: () => value,
        set(this: object, own: unknown) {
          if (this === proto) throw new TypeError("Native errors cannot be changed");
          defineProperty(this, key, { value: own, writable: true, enumerable: false, configurable: true });
        },
        configurable: false,
      });
    }
    if (native === Error) defineProperty(native, "prepareStackTrace", { value: undefined, writable: false });
    freeze(proto);
    freeze(native);
  }

  const cut = (value: unknown, chars: number): string => {
    const text = typeof value === "string" ? value : String(value);
    return text.length > chars ? `${text.slice(0, chars)}…` : text;
  };

  g.describe = (error) => {
    try {
      if (typeof error !== "object" || error === null) return stringify(["", cut(error, MESSAGE_CHARS), ""]);
      const { name, message, stack, kind } = error as Record<string, unknown>;
      const parts = [cut(name ?? "", 200), cut(message ?? "", MESSAGE_CHARS)];
      parts.push(typeof stack === "string" ? cut(stack, STACK_CHARS) : "");
      if (kind === "body-json") parts.push(kind);
      return stringify(parts);
    } catch {
      return '["","what it threw cannot be read",""]';
    }
  };
}
