/** What a script threw, as the guest runtime tells it. It is input: a script may have changed what tells it. */

export interface Thrown {
  /** `TypeError: …`, or what was thrown as text. */
  readonly message: string;
  /** As V8 wrote it, or what the script has put there; may be empty. */
  readonly stack: string;
  /** `body-json` when the hook asked for a body that is not JSON. */
  readonly kind: string | undefined;
}

const NAME_CHARS = 200;
const MESSAGE_CHARS = 2000;
const STACK_CHARS = 8000;

/**
 * @param json `[name, message, stack, kind?]`
 * @returns undefined when it cannot be read
 */
export function parseThrown(json: string): Thrown | undefined {
  let parts: unknown;
  try {
    parts = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (!Array.isArray(parts) || !parts.every((part) => typeof part === "string")) return undefined;
  const [name = "", text = "", stack = "", kind] = parts;
  const message = text.slice(0, MESSAGE_CHARS + 1);
  return {
    message: name === "" ? message : `${name.slice(0, NAME_CHARS)}: ${message}`,
    stack: stack.slice(0, STACK_CHARS),
    kind,
  };
}
