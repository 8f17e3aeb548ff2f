/** nginx with its `proxy_cache`, as it is quickest: one worker, bodies in the page cache, files kept open. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Server } from "./gateways.ts";
import { findProgram, freePort, SUBJECT_CORE, Subject, untilListening } from "./process.ts";

/** Starts one in front of an upstream; undefined where nginx is not installed. */
export async function startNginxCache(upstream: string): Promise<Server | undefined> {
  const nginx = findProgram("nginx");
  if (nginx === undefined) return undefined;
  const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"));
  const port = await freePort();
  mkdirSync(join(folder, "logs"));
  writeFileSync(
    join(folder, "nginx.conf"),
    `worker_processes 1; daemon off; pid ${folder}/nginx.pid; error_log stderr crit;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  sendfile on; tcp_nopush on; open_file_cache max=1000 inactive=600s;
  proxy_cache_path ${folder}/cache keys_zone=replies:10m inactive=1d;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder};
  uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass ${upstream}; proxy_cache replies; add_header X-Cache $upstream_cache_status; }
  }
}
`,
  );
  const subject = new Subject(nginx, ["-p", folder, "-c", join(folder, "nginx.conf")], {
    core: SUBJECT_CORE,
  });
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
