import { describe, expect, it } from "vitest";
import { parseWrk } from "../../bench/support/load.ts";

const output = (lines: string): string => `Running 2s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.21ms    1.13ms  41.83ms   92.14%
    Req/Sec    29.45k     2.22k   32.13k    80.00%
  Latency Distribution
     50%  812.00us
     75%    2.40ms
     90%    3.10ms
     99%    1.21s 
  58613 requests in 2.00s, 57.02MB read
${lines}Requests/sec:  29287.61
Transfer/sec:     28.49MB
`;

describe("parseWrk", () => {
  it("reads counts and latencies in milliseconds, whatever their unit", () => {
    expect(parseWrk(output(""))).toEqual({
      requests: 58613,
      perSecond: 29287.61,
      p50Ms: 0.812,
      p99Ms: 1210,
      failures: 0,
    });
  });

  it("counts wrong replies and broken connections as failures", () => {
    const lines = "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 100\n";
    expect(parseWrk(output(lines)).failures).toBe(110);
  });
});
