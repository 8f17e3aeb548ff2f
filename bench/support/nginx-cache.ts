/** nginx with its `proxy_cache`, as it is quickest: one worker, bodies in the page cache, files kept open. */
import type { Server } from "./gateways.ts";
import { startNginx } from "./nginx.ts";
import { findProgram, SUBJECT_CORE } from "./process.ts";

/** Starts one in front of an upstream; undefined where nginx is not installed. */
export async function startNginxCache(upstream: string): Promise<Server | undefined> {
  const nginx = findProgram("nginx");
  if (nginx === undefined) return undefined;
  return startNginx({
    nginx,
    core: SUBJECT_CORE,
    server: `location / { proxy_pass ${upstream}; proxy_cache replies; add_header X-Cache $upstream_cache_status; }`,
    http: (folder) => `sendfile on; tcp_nopush on; open_file_cache max=1000 inactive=600s;
  proxy_cache_path ${folder}/cache keys_zone=replies:10m inactive=1d;`,
  });
}
