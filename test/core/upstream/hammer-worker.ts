/** A thread that does one thing to shared records of targets, again and again, while another does the same. */
import { parentPort, workerData } from "node:worker_threads";
import { systemClock as clock } from "../../../core/clock.ts";
import { compileStatuses } from "../../../core/statuses.ts";
import { OutlierRecord } from "../../../core/upstream/health/outlier-record.ts";
import { OutlierDetector } from "../../../core/upstream/health/passive.ts";
import { TargetState } from "../../../core/upstream/target-state.ts";
import { UpstreamRecord } from "../../../core/upstream/upstream-record.ts";
import { FakeLog } from "../../support/harness.ts";

/** What a thread found out. */
export interface HammerResult {
  /** Most targets that were ejected at once. */
  readonly most: number;
  /** Its ejections: of which target, and when they were to end. */
  readonly ejections: readonly (readonly [target: number, until: number])[];
}

/** When all that is counted happens. */
const NOW = 1_000_000;

export interface HammerData {
  readonly what: "requests" | "counts" | "failures" | "ejections";
  readonly thread: number;
  readonly rounds: number;
  readonly shared: SharedArrayBuffer;
  readonly records: readonly SharedArrayBuffer[];
  readonly outliers: readonly SharedArrayBuffer[];
  /** The first word is how many threads are ready. */
  readonly gate: SharedArrayBuffer;
}

const { what, thread, rounds, shared, records, outliers, gate } = workerData as HammerData;
const ejections: [number, number][] = [];
const log = new FakeLog();
log.warn = (fields, message) => {
  if (message !== "target is ejected") return;
  const target = states.findIndex(({ url }) => url === (fields as { target: string }).target);
  ejections.push([target, states[target]!.ejectedUntil]);
};
const owner = { upstream: "users", log, clock, shared: new UpstreamRecord(shared, thread) };
const states = records.map((record, i) => new TargetState(`http://t${i}`, record, owner));
const own = outliers.map((memory) => new OutlierRecord(memory, thread));
for (const [i, state] of states.entries()) state.outlier = own[i];
const detector = new OutlierDetector(
  {
    failures: 3,
    withinMs: 10_000,
    errorRate: undefined,
    minRequests: 1,
    statuses: compileStatuses(["500-599"], "", []),
    ejectForMs: 10,
    maxEjectForMs: 10,
    maxEjected: 0.5,
  },
  clock,
  owner.shared,
);
detector.setTargets(states);

let most = 0;

const ROUNDS: Record<HammerData["what"], (i: number) => void> = {
  requests(i) {
    const state = states[i % states.length]!;
    state.startRequest();
    if (i % 5 !== 0) state.endRequest();
  },
  counts: (i) => own[0]!.count(NOW, i % 4 === 0 ? 1 : 0),
  failures() {
    while (!own[0]!.fail(own[0]!.mark, NOW));
  },
  ejections(i) {
    detector.observe(states[(i * 7 + thread) % states.length]!, 500, undefined);
    // The lock shows them as no other thread is about to change them.
    if (!owner.shared.tryLock()) return;
    const now = clock.monotonic() + 0.01; // clocks of threads differ by less
    most = Math.max(most, states.filter(({ ejectedUntil }) => ejectedUntil > now).length);
    owner.shared.unlock();
  },
};

const ready = new Int32Array(gate);
Atomics.add(ready, 0, 1);
while (Atomics.load(ready, 0) < 2);
for (let i = 0; i < rounds; i++) ROUNDS[what](i);
parentPort!.postMessage({ most, ejections } satisfies HammerResult);
