/** Load for machines without wrk: `node generator.ts URL CONNECTIONS SECONDS HEADERS` prints what it came to as JSON. */
import { Connection } from "./keep-alive.ts";
import type { LoadResult } from "./load.ts";
import { quantile } from "./stats.ts";

const [url = "", connections = "", seconds = "", json = "{}"] = process.argv.slice(2);
const headers = Object.entries(JSON.parse(json) as Record<string, string>)
  .map(([name, value]) => `${name}: ${value}\r\n`)
  .join("");
const { pathname, search } = new URL(url);
const latencies: number[] = [];
let failures = 0;

const start = performance.now();
const end = start + Number(seconds) * 1000;
await Promise.all(
  Array.from({ length: Number(connections) }, async () => {
    const connection = await Connection.open(url);
    try {
      for (let sent = performance.now(); sent < end; sent = performance.now()) {
        const { status } = await connection.get(pathname + search, headers);
        latencies.push(performance.now() - sent);
        if (status < 200 || status > 399) failures++;
      }
    } catch {
      failures++; // counted, and the run goes on with the connections that are left
    } finally {
      connection.close();
    }
  }),
);
const result: LoadResult = {
  requests: latencies.length,
  perSecond: (latencies.length * 1000) / (performance.now() - start),
  p50Ms: quantile(latencies, 0.5),
  p99Ms: quantile(latencies, 0.99),
  failures,
};
console.log(JSON.stringify(result));
