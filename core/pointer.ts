/** JSON Pointers (RFC 6901): how a place in a configuration is named. */

/** Splits a pointer into keys. */
export function parsePointer(pointer: string): string[] {
  if (pointer === "") return [];
  return pointer
    .slice(1)
    .split("/")
    .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** The pointer of a key in what `pointer` names. */
export function childPointer(pointer: string, key: string | number): string {
  const escaped = typeof key === "number" ? key : key.replaceAll("~", "~0").replaceAll("/", "~1");
  return `${pointer}/${escaped}`;
}
