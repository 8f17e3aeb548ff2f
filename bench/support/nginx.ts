/** nginx with a configuration that exists for one run: one worker, connections that stay open. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Server } from "./gateways.ts";
import { freePort, Subject, untilListening } from "./process.ts";

export interface NginxParts {
  /** Its program. */
  readonly nginx: string;
  /** The core that it may use. */
  readonly core: number;
  /** What its only server does with requests: `location`s. */
  readonly server: string;
  /** More lines for all of it, given the folder that it has. */
  readonly http?: (folder: string) => string;
  /** Lines before everything else. */
  readonly main?: string;
  /** Files in its folder, by name. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Starts one. @throws Error when it ends instead */
export async function startNginx({ nginx, core, server, http, main, files }: NginxParts): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"));
  chmodSync(folder, 0o755); // its worker is somebody else
  const port = await freePort();
  mkdirSync(join(folder, "logs"));
  for (const [name, text] of Object.entries(files ?? {})) writeFileSync(join(folder, name), text);
  writeFileSync(
    join(folder, "nginx.conf"),
    `${main ?? ""}
worker_processes 1; daemon off; pid ${folder}/nginx.pid; error_log stderr crit;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  ${http?.(folder) ?? ""}
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder};
  uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  server { listen 127.0.0.1:${port}; ${server} }
}
`,
  );
  const subject = new Subject(nginx, ["-p", folder, "-c", join(folder, "nginx.conf")], { core });
  const stop = async (): Promise<void> => {
    await subject.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await Promise.race([untilListening(port), subject.line(() => undefined)]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: `http://127.0.0.1:${port}`, subject, stop };
}
