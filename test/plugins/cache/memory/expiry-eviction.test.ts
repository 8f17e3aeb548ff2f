import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ExpiryEviction } from "../../../../plugins/cache/memory/expiry-eviction.ts";
import { Slot } from "../../../../plugins/cache/memory/slot.ts";
import { entryOf } from "../../../support/cache-entries.ts";

describe("eviction by expiry", () => {
  it("chooses one after the other by the end of their freshness, whichever were removed before", () => {
    const slots = fc.array(fc.record({ freshMs: fc.nat(1000), isRemoved: fc.boolean() }), { maxLength: 80 });
    fc.assert(
      fc.property(slots, (given) => {
        const eviction = new ExpiryEviction();
        const made = given.map(({ freshMs }) => new Slot(entryOf({ freshMs })));
        for (const slot of made) eviction.add(slot);
        for (const [i, slot] of made.entries()) if (given[i]!.isRemoved) eviction.remove(slot);
        const chosen: number[] = [];
        for (let slot = eviction.choose(); slot !== undefined; slot = eviction.choose()) {
          chosen.push(slot.entry.freshMs);
          eviction.remove(slot);
        }
        const left = given.filter(({ isRemoved }) => !isRemoved);
        expect(chosen).toEqual(left.map(({ freshMs }) => freshMs).toSorted((a, b) => a - b));
      }),
      { numRuns: 100 },
    );
  });
});
