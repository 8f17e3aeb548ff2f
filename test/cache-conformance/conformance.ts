/** Has `http-cache-tests` examine `plugin: cache` with no options: its own origin and client, and a real gateway between. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { startCli } from "../support/cli.ts";
import { regressions, type Results } from "./score.ts";

const ORIGIN = createRequire(import.meta.url).resolve("http-cache-tests/server/server.mjs");
const CLIENT = new URL("client.ts", import.meta.url).pathname;

const configuration = (origin: string): string => `
apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
upstreams: { origin: { targets: [${origin}] } }
routes:
  - name: all
    match: { path: /* }
    pipeline: [{ plugin: cache }]
    upstream: origin
`;

/** Runs all tests; those that should pass and did not have a second chance, because they are about seconds. */
export async function runConformance(): Promise<Results> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-conformance-"));
  const origin = spawn(process.execPath, [ORIGIN], {
    env: {
      ...process.env,
      npm_config_protocol: "http",
      npm_config_port: "0",
      npm_config_pidfile: join(folder, "pid"),
    },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const ended = once(origin, "close");
  try {
    const port = await listeningPort(origin.stdout);
    origin.stdout.resume();
    const file = join(folder, "gateway.yaml");
    writeFileSync(file, configuration(`http://127.0.0.1:${port}`));
    await using gateway = await startCli(["--config", file]);
    const results = await runClient(gateway.url, []);
    const worse = regressions(results);
    return worse.length === 0 ? results : { ...results, ...(await runClient(gateway.url, worse)) };
  } finally {
    origin.kill();
    await ended;
    rmSync(folder, { recursive: true });
  }
}

async function listeningPort(output: AsyncIterable<Buffer>): Promise<number> {
  let said = "";
  for await (const chunk of output) {
    said += chunk;
    const match = /Listening on \S+:(\d+)\//.exec(said);
    if (match !== null) return Number(match[1]);
  }
  throw new Error(`the origin did not start: ${said}`);
}

async function runClient(url: string, ids: readonly string[]): Promise<Results> {
  const client = spawn(process.execPath, [CLIENT, url.replace(/\/$/, ""), ...ids], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const output = await text(client.stdout);
  return JSON.parse(output) as Results;
}
