/** The upstream of all contenders: nginx with keep-alive, on the core of the load. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Server } from "../support/gateways.ts";
import { findProgram, freePort, LOAD_CORE } from "../support/process.ts";
import { BODY_BYTES } from "../support/upstream.ts";
import { launch, writeConfig } from "./launch.ts";

/** Lengths of the files under `/bytes/`. */
export const LARGE_BODIES = { "100 KB": 100 * 1024, "10 MB": 10 * 2 ** 20 } as const;

/** What may be cached, unlike all the rest: {@link BODY_BYTES} bytes too. */
export const CACHEABLE = "/articles/17?verbose=1";

/** Answers {@link BODY_BYTES} bytes to everything but `/bytes/N`, `/upload` and `/echo`, which tell what came. */
export async function startUpstream(): Promise<Server> {
  const port = await freePort();
  return launch({
    command: findProgram("nginx")!,
    args: (folder) => ["-p", folder, "-c", join(folder, "upstream.conf")],
    port,
    prepare(folder) {
      writeConfig(folder, "upstream.conf", { PORT: port, BODY: "x".repeat(BODY_BYTES) });
      mkdirSync(join(folder, "bytes"));
      for (const bytes of Object.values(LARGE_BODIES))
        writeFileSync(join(folder, "bytes", String(bytes)), Buffer.alloc(bytes, "x"));
    },
    cores: [LOAD_CORE],
  });
}
