/** nginx with a configuration that exists for one run: one worker, connections that stay open. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Server } from "./gateways.ts";
import { freePort, Subject, untilListening } from "./process.ts";

/**
 * Starts one.
 * @param nginx its program
 * @param core that it may use
 * @param location what its only server does with requests
 * @param http more lines for all of it, given a folder for what it writes
 */
export async function startNginx(
  nginx: string,
  core: number,
  location: string,
  http: (folder: string) => string = () => "",
): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"));
  const port = await freePort();
  mkdirSync(join(folder, "logs"));
  writeFileSync(
    join(folder, "nginx.conf"),
    `worker_processes 1; daemon off; pid ${folder}/nginx.pid; error_log stderr crit;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  ${http(folder)}
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder};
  uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  server { listen 127.0.0.1:${port}; location / { ${location} } }
}
`,
  );
  const subject = new Subject(nginx, ["-p", folder, "-c", join(folder, "nginx.conf")], { core });
  await untilListening(port);
  return {
    url: `http://127.0.0.1:${port}`,
    subject,
    async stop() {
      await subject.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
