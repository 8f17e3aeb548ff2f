/** Methods of requests, as options name them. */

/** A schema of a method. */
export const METHOD = {
  type: "string",
  pattern: "^[A-Z][A-Z-]*$",
  "x-expected": "a method in capitals, such as GET",
} as const;

/** Methods whose requests may be carried out twice without harm (RFC 9110 section 9.2.2). */
export const IDEMPOTENT = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] as const;

/** The methods of a list. GET includes HEAD: what holds for a resource holds for its head. */
export function compileMethods(list: readonly string[]): ReadonlySet<string> {
  return new Set(list.includes("GET") ? [...list, "HEAD"] : list);
}
