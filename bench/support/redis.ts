/** A Redis beside the load. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram, freePort, LOAD_CORE, Subject, untilListening } from "./process.ts";

export interface Redis {
  readonly url: string;
  stop(): Promise<void>;
}

/** Starts one that keeps nothing on disk; undefined where Redis is not installed. */
export async function startRedis(): Promise<Redis | undefined> {
  const program = findProgram("redis-server");
  if (program === undefined) return undefined;
  const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"));
  const port = await freePort();
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""];
  const subject = new Subject(program, args, { core: LOAD_CORE });
  await untilListening(port);
  return {
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      await subject.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
