/** `npm start`: two sample servers, and the gateway of `gateway.yaml` in front of them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { startSample } from "./upstreams.ts";

const path = (name: string): string => new URL(name, import.meta.url).pathname;
const ADMIN = "http://127.0.0.1:9901";

const BANNER = `
Sluice is at http://127.0.0.1:8080 (admin ${ADMIN}), in front of two sample servers. Try:

  curl -i http://127.0.0.1:8080/hello/world                  a fixed reply
  curl -i http://127.0.0.1:8080/shop/products                two upstream targets in turn; headers added both ways
  curl -i --compressed http://127.0.0.1:8080/shop/products/2 through the compress stage
  curl -s -d 'ping' http://127.0.0.1:8080/shop/echo          what an upstream sees
  curl -s http://127.0.0.1:8080/sale                         prices changed by a script: examples/try-out/plugins/sale.ts
  curl -s http://127.0.0.1:8080/api/v1/products/3            a reply edited on its way back
  curl -i http://127.0.0.1:8080/cached/products              kept for ten seconds: ask twice, and see Cache-Status
  curl -iL http://127.0.0.1:8080/store/products              a redirect
  curl -i http://127.0.0.1:8080/internal                     allowed by address
  curl -i http://127.0.0.1:8080/partner/products             401 without a key; with it, five at once and then 429:
  curl -i -H 'X-API-Key: the-key-of-the-partner' http://127.0.0.1:8080/partner/products
  curl -i http://127.0.0.1:8080/flaky                        one of the servers fails: the other one is asked
  curl -i http://127.0.0.1:8080/broken                       a circuit that opens at the third failure
  curl -i -X DELETE http://127.0.0.1:8080/shop/products      405 with Allow
  curl -s ${ADMIN}/health/ready                    ready?
  curl -s ${ADMIN}/metrics | grep sluice_          Prometheus metrics
  curl -s ${ADMIN}/admin/config                    what runs now
  curl -s ${ADMIN}/admin/scripts                   scripts: state, calls, time, errors
  curl -s ${ADMIN}/admin/upstreams/shop            the targets and their health
  curl -s ${ADMIN}/admin/limits                    limits: what they let in, who came most
  curl -s ${ADMIN}/admin/cache                     caches: hits, misses, what is stored
  curl -s -X POST -d '{"all":true}' ${ADMIN}/admin/cache/purge       and then it is gone
  curl -s -X PATCH -d '{"state":"draining"}' ${ADMIN}/admin/upstreams/shop/targets/127.0.0.1:8082

Hot swap: edit the script, or the reply of the route "hello" in examples/try-out/gateway.yaml, save, and curl it again.
Break the file, and what was there keeps serving; the log says what is wrong and where.
Ctrl-C stops everything.
`;

/** Resolves when the gateway says that it is ready; false when it ended instead. */
async function isReady(ended: Promise<unknown>): Promise<boolean> {
  let over = false;
  void ended.then(() => {
    over = true;
  });
  while (!over) {
    const reply = await fetch(`${ADMIN}/health/ready`).catch(() => undefined);
    if (reply?.status === 200) return true;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return false;
}

const samples = await Promise.all([8081, 8082].map(startSample)).catch((error: Error) => {
  console.error(`The sample servers could not start: ${error.message}`);
  process.exit(1);
});
const gateway = spawn(process.execPath, [path("../../core/main.ts"), "start", "-c", path("gateway.yaml")], {
  stdio: "inherit",
});
const ended = once(gateway, "exit");
process.on("SIGINT", () => {}); // the gateway gets it too and stops first
process.on("SIGTERM", () => gateway.kill("SIGTERM"));
if (await isReady(ended)) console.log(BANNER);
const [status] = await ended;
for (const server of samples) {
  server.close();
  server.closeAllConnections();
}
process.exitCode = (status as number | null) ?? 1;
