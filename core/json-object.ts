/** Objects in the answers of other servers. */

/**
 * The object that an answer has.
 * @throws Error that says why there is none, without an excerpt
 */
export function parseObject(body: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new Error("the answer is not JSON");
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new Error("the answer is no object");
}
