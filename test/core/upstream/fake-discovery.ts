/** Targets that a test finds. */
import { onTestFinished } from "vitest";
import { keyOf } from "../../../core/keep.ts";
import type { Discovery, Found } from "../../../core/upstream/discovery/discovery.ts";
import { setUp } from "./test-upstream.ts";

/** A discovery whose finds a test decides on. */
export class FakeDiscovery implements Discovery {
  found: readonly Found[];
  failure: Error | undefined;
  readonly ready = Promise.resolve();
  readonly listeners = new Set<() => void>();
  closed = 0;

  constructor(...urls: string[]) {
    this.found = urls.map((url) => ({ url, weight: 1 }));
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  find(...found: (string | Found)[]): void {
    this.found = found.map((each) => (typeof each === "string" ? { url: each, weight: 1 } : each));
    for (const listener of this.listeners) listener();
  }

  async close(): Promise<void> {
    this.closed++;
  }
}

/** Opens upstreams whose targets come from `discovery`. */
export function discovering(discovery: FakeDiscovery, threads = 1) {
  const around = setUp(threads);
  const targets = { file: "targets.json" };
  const lease = around.kept.lease();
  lease.keep(keyOf("discovery users", targets), () => discovery);
  onTestFinished(() => lease.release());
  return {
    ...around,
    open: (parts: object = {}) => around.open({ targets, ...parts }),
    openAll: (parts: object = {}) => around.openAll({ targets, ...parts }),
  };
}
