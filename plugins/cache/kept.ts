/** What of a cache outlives reloads, and what other threads ask this one for. */
import type { Clock, HeaderList, SharedState } from "../../core/plugin.ts";
import { CacheCounts } from "./counts.ts";
import type { Entry } from "./entry.ts";
import { Flights, type Patience } from "./flights.ts";
import { type BoundedMemoryLevel, createMemoryLevel, type MemoryBounds } from "./memory/memory-level.ts";
import { type Held, type Holder, Neighbours } from "./neighbours.ts";
import type { PurgeTable } from "./purges.ts";
import { SILENT } from "./request.ts";
import { judgeReuse } from "./reuse.ts";
import { topicOf } from "./sharing.ts";
import { ThreadPurges } from "./thread-purges.ts";
import { normalizedField } from "./vary.ts";
import { Warmer } from "./warm/warmer.ts";

export class KeptCache implements Holder {
  readonly threadPurges: ThreadPurges;
  readonly purges: PurgeTable;
  readonly counts: CacheCounts;
  readonly memory: BoundedMemoryLevel;
  readonly neighbours: Neighbours;
  readonly warmer: Warmer;
  /** What is on its way. */
  readonly flights: Flights;
  readonly #clock: Clock;

  /** @param topic names the cache, the same on all threads */
  constructor(
    topic: string,
    bounds: MemoryBounds,
    patience: Patience,
    around: { clock: Clock; shared: SharedState; random: () => number },
  ) {
    const { clock, shared, random } = around;
    this.#clock = clock;
    this.threadPurges = new ThreadPurges(topic, shared, clock);
    this.purges = this.threadPurges.table;
    this.memory = createMemoryLevel({ ...bounds, purges: this.purges, clock, random });
    this.counts = new CacheCounts(clock, this.memory);
    this.warmer = new Warmer(clock);
    this.neighbours = new Neighbours(topic, shared, clock, this);
    this.flights = new Flights(patience, clock, this.purges);
  }

  lookUp(key: string, headers: HeaderList): Held | Promise<Entry | undefined> {
    const entry = this.memory.find(key, (name) => normalizedField(headers, name));
    if (entry !== undefined && judgeReuse(entry, SILENT, this.#clock.now(), false) === "use") return entry;
    const [newest] = this.memory.peek(key);
    const vary = newest?.vary ?? [];
    const flight =
      this.flights.find(topicOf(key, headers, vary)) ?? this.flights.find(topicOf(key, headers, vary, true));
    // What is stale is worth having: it can be validated.
    return flight?.stored ?? entry ?? (newest && "others");
  }

  replace(entry: Entry, same: Entry): void {
    if (this.memory.peek(entry.key).includes(entry)) this.memory.put(same);
  }

  drop(key: string, url: string | undefined): void {
    this.flights.spoil(key);
    if (url === undefined) return this.memory.delete(key);
    this.memory.change(key, url);
    this.flights.spoil(url);
  }

  close(): void {
    this.warmer.stop();
    this.memory.close();
    this.neighbours.close();
    this.threadPurges.close();
  }
}
