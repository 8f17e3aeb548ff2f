/** What all threads show of a collection as one. */

/** Makes one of what two threads show of the same thing. */
export type Merge = (a: never, b: never) => object;

/** @param merge called for what several threads have */
export function mergeCollections(
  all: readonly Readonly<Record<string, object>>[],
  merge: Merge,
): Record<string, object> {
  const merged: Record<string, object> = { __proto__: null as never }; // a name may be `constructor`
  for (const [id, shown] of all.flatMap((one) => Object.entries(one))) {
    const other = merged[id];
    merged[id] = other === undefined ? shown : merge(other as never, shown as never);
  }
  return merged;
}
