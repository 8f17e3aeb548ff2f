/** Headers of entries: flat lists that nobody may change. */
import { isSameName } from "../../core/headers.ts";
import type { Entry } from "./entry.ts";

/** The first value of a header of an entry. @param name in lower case */
export function headerOf(entry: Pick<Entry, "headers">, name: string): string | undefined {
  const { headers } = entry;
  for (let i = 0; i < headers.length; i += 2) if (isSameName(headers[i]!, name)) return headers[i + 1];
  return undefined;
}
