/** What a store has under a key, for those who only look: nothing is counted, and nothing dropped. */
import type { Entry } from "../entry.ts";
import { decodeEntry } from "./entry-codec.ts";
import type { Answer } from "./store-caller.ts";
import { readMarker, readVariants } from "./store-keys.ts";

/**
 * All variants under a key that can be read, whoever they are for.
 * @param name under which the store has them
 * @returns undefined when the store does not answer
 */
export async function lookUpAll(
  load: (place: string) => Promise<Answer<Buffer | undefined>>,
  key: string,
  name: string,
): Promise<Entry[] | undefined> {
  const first = await load(name);
  if (first === "away" || first === "unavailable") return undefined;
  if (first === "refused" || first.value === undefined) return [];
  const places =
    readMarker(first.value) === undefined ? [] : readVariants(first.value).map((each) => name + each);
  const answers = places.length === 0 ? [first] : await Promise.all(places.map(load));
  const entries: Entry[] = [];
  for (const answer of answers) {
    if (answer === "away" || answer === "unavailable") return undefined;
    const entry = answer === "refused" || !answer.value ? undefined : await decodeEntry(answer.value, key);
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}
