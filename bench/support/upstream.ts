/** The upstream of the benches: nginx when it is installed, else a small server of Node's. */
import { join } from "node:path";
import { startNginx } from "./nginx.ts";
import { findProgram, LOAD_CORE, Subject } from "./process.ts";

/** Length of the body that every request is answered with. */
export const BODY_BYTES = 766;

export interface BenchUpstream {
  /** What serves, for the output. */
  readonly kind: string;
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Starts a server that answers every request with {@link BODY_BYTES} bytes and keeps connections alive.
 * @param headers of each reply beside those of every server
 */
export async function startUpstream(headers: Readonly<Record<string, string>> = {}): Promise<BenchUpstream> {
  const nginx = findProgram("nginx");
  if (nginx === undefined) return startNode(headers);
  const added = Object.entries(headers).map(([name, value]) => `add_header ${name} '${value}';`);
  const reply = `default_type application/json; return 200 "${"x".repeat(BODY_BYTES)}";`;
  const server = `location / { ${added.join(" ")} ${reply} }`;
  return { kind: "nginx", ...(await startNginx({ nginx, core: LOAD_CORE, server })) };
}

async function startNode(headers: Readonly<Record<string, string>>): Promise<BenchUpstream> {
  const file = join(import.meta.dirname, "node-upstream.ts");
  const subject = new Subject(process.execPath, [file, JSON.stringify(headers)], { core: LOAD_CORE });
  const url = await subject.line((line) => /^listening on (\S+)$/.exec(line)?.[1]);
  return { kind: "node:http (nginx is not installed)", url, stop: () => subject.stop() };
}
