/** A thread to profile whose answers a test decides on. */
import { writeFile } from "node:fs/promises";
import type { ProfiledThread } from "../../core/observe/profiling.ts";

export class FakeProfiledThread implements ProfiledThread {
  readonly #gone = new AbortController();
  readonly gone = this.#gone.signal;
  /** What happened, in order. */
  readonly trace: string[] = [];
  profile: () => Promise<string> = async () => '{"nodes":[]}';
  heap: (path: string) => Promise<void> = (path) => writeFile(path, '{"snapshot":{}}');

  async startCpuProfile(): Promise<{ stop(): Promise<string> }> {
    this.trace.push("start");
    return {
      stop: () => {
        this.trace.push("stop");
        return this.profile();
      },
    };
  }

  async writeHeap(path: string): Promise<void> {
    this.trace.push(path);
    await this.heap(path);
  }

  /** It ends. */
  die(): void {
    this.profile = async () => {
      throw new Error("the worker is not running");
    };
    this.#gone.abort();
  }
}
