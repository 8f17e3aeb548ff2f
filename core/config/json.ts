/** Strict JSON (RFC 8259): where a text stops being it. The YAML parser reads the values; this only refuses. */

export interface JsonError {
  readonly offset: number;
  readonly message: string;
}

const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*"/y;
const ATOM = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-])/y;

/** The first place where `text` is not JSON, or undefined when it is. */
export function findJsonError(text: string): JsonError | undefined {
  const open: ("{" | "[")[] = [];
  let at = 0;
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    if (!pattern.test(text)) return false;
    at = pattern.lastIndex;
    return true;
  };
  const fail = (message: string): JsonError => ({ offset: at, message });
  /** What may come: a value, a value or the end of an empty list, a key, a key or `}`, or what follows a value. */
  let state: "value" | "first-item" | "key" | "first-key" | "after" = "value";
  for (;;) {
    take(SPACE);
    const c = text[at];
    if (c === undefined) break;
    if (c === "/" || c === "#") return fail("JSON has no comments");
    if (state === "after") {
      const inside = open.at(-1);
      if (inside === undefined) return fail("Nothing can follow the end of a JSON document");
      if (c === ",") state = inside === "{" ? "key" : "value";
      else if (c === (inside === "{" ? "}" : "]")) open.pop();
      else return fail(`Expected a comma or the closing ${inside === "{" ? "}" : "]"}`);
      at++;
    } else if (state === "key" || state === "first-key") {
      if (c === "}" && state === "first-key") {
        open.pop();
        state = "after";
        at++;
        continue;
      }
      if (c === "}") return fail("JSON has no comma after the last item");
      if (!take(STRING)) return fail(c === '"' ? BAD_STRING : "Expected a key in double quotes");
      take(SPACE);
      if (text[at] !== ":") return fail("Expected a colon after the key");
      at++;
      state = "value";
    } else if (c === "{" || c === "[") {
      open.push(c);
      state = c === "{" ? "first-key" : "first-item";
      at++;
    } else if (c === "]" && state === "first-item") {
      open.pop();
      state = "after";
      at++;
    } else if (c === "]") {
      return fail(open.at(-1) === "[" ? "JSON has no comma after the last item" : "Expected a value");
    } else if (take(STRING) || take(ATOM)) {
      state = "after";
    } else {
      return fail(
        c === '"' ? BAD_STRING : "Expected a JSON value: text in double quotes, a number, true, false, null",
      );
    }
  }
  if (open.length > 0) return fail(`The file ends before the closing ${open.at(-1) === "{" ? "}" : "]"}`);
  return state === "after" ? undefined : fail("The file ends before a value");
}

const BAD_STRING =
  "This text is not closed, or has an escape or a control character that JSON does not allow";
