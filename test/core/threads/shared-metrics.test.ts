import { expect, it } from "vitest";
import { createSharedMemory, SharedMemory } from "../../../core/threads/shared-memory.ts";
import { collectSharedCells } from "../../../core/threads/shared-metrics.ts";
import { FakeHost } from "../../support/harness.ts";

it("tells how many cells of each table are within their time, and how often there was no room", () => {
  const host = new FakeHost();
  const { clock, metrics } = host;
  const handle = createSharedMemory(2, clock.monotonic());
  collectSharedCells(new SharedMemory(handle, 2), metrics, clock);
  const { counters, circuits } = new SharedMemory(handle, 0);
  for (let i = 0; i < 5; i++) counters.locate(`key ${i}`, 1000, clock.monotonic());
  for (let i = 0; i < 20_000; i++) circuits.locate(`key ${i}`, 60_000, clock.monotonic());
  const full = host.collected("sluice_shared_cells_full_total");
  expect(full).toMatchObject({ '{"table":"counters"}': 0, '{"table":"circuits"}': circuits.full });
  expect(circuits.full).toBeGreaterThan(15_000);
  clock.advance(30_000);
  expect(host.collected("sluice_shared_cells")).toMatchObject({
    '{"table":"counters"}': 0,
    '{"table":"circuits"}': 20_000 - circuits.full,
  });
});
