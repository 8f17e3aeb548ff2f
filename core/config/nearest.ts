/** Finds what somebody probably meant. */

/** Edits between two texts: insertions, deletions, substitutions, and swaps of neighbours (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, beforeLast[j - 2]! + 1);
      }
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}

/** Without case and word separators: `strip_prefix` and `stripPrefix` are the same. */
const plain = (text: string): string => text.toLowerCase().replace(/[-_. ]/g, "");

/** The candidate nearest to `text`, or undefined when none is near enough to be meant. The first wins a tie. */
export function nearest(text: string, candidates: Iterable<string>): string | undefined {
  if (text.length > 100) return undefined;
  const wanted = plain(text);
  let best: string | undefined;
  let bestDistance = Math.min(3, Math.max(1, Math.floor(text.length / 3))) + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - text.length) > bestDistance + 1) continue;
    const distance = plain(candidate) === wanted ? 0 : editDistance(text, candidate);
    if (distance < bestDistance && distance < candidate.length) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** The one candidate that begins with `text`; undefined when there are several, or the text is too short to say much. */
export function completion(text: string, candidates: readonly string[]): string | undefined {
  const wanted = plain(text);
  if (wanted.length < 4) return undefined;
  const longer = candidates.filter((candidate) => plain(candidate).startsWith(wanted));
  return longer.length === 1 ? longer[0] : undefined;
}
