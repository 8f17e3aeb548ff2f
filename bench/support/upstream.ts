/** The upstream of the benches: nginx when it is installed, else a small server of Node's. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram, freePort, LOAD_CORE, Subject, untilListening } from "./process.ts";

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
  return nginx === undefined ? startNode(headers) : startNginx(nginx, headers);
}

async function startNginx(nginx: string, headers: Readonly<Record<string, string>>): Promise<BenchUpstream> {
  const added = Object.entries(headers).map(([name, value]) => `add_header ${name} '${value}';`);
  const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"));
  const port = await freePort();
  mkdirSync(join(folder, "logs"));
  writeFileSync(
    join(folder, "nginx.conf"),
    `worker_processes 1; daemon off; pid ${folder}/nginx.pid; error_log stderr crit;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder};
  uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  server { listen 127.0.0.1:${port}; location / { ${added.join(" ")} default_type application/json; return 200 "${"x".repeat(BODY_BYTES)}"; } }
}
`,
  );
  const subject = new Subject(nginx, ["-p", folder, "-c", join(folder, "nginx.conf")], { core: LOAD_CORE });
  await untilListening(port);
  return {
    kind: "nginx",
    url: `http://127.0.0.1:${port}`,
    async stop() {
      await subject.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function startNode(headers: Readonly<Record<string, string>>): Promise<BenchUpstream> {
  const file = join(import.meta.dirname, "node-upstream.ts");
  const subject = new Subject(process.execPath, [file, JSON.stringify(headers)], { core: LOAD_CORE });
  const url = await subject.line((line) => /^listening on (\S+)$/.exec(line)?.[1]);
  return { kind: "node:http (nginx is not installed)", url, stop: () => subject.stop() };
}
