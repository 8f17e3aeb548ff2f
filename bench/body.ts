/**
 * One gigabyte through the gateway, down and up, with a receiver that keeps up and with one that stops every
 * 64 MB: the peak of the gateway's memory above what it was at rest says whether anything is collected on the
 * way. `--rounds` repeats the whole.
 */
import { request as httpRequest } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { benchConfig, startSluice } from "./support/gateways.ts";
import { canPin, LOAD_CORE, pinSelf, Subject } from "./support/process.ts";
import { conclude, megabytes, printTable, readOptions } from "./support/report.ts";
import { median } from "./support/stats.ts";

const BYTES = 2 ** 30;
const CHUNK = Buffer.alloc(64 * 1024, "x");
const PAUSE_BYTES = 64 * 2 ** 20;
const PAUSE_MS = 500;
const LIMIT_MB = 150;

/** Downloads; gives the bytes that came. */
function download(url: string, bytes: number, slowly: boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    httpRequest(`${url}/${bytes}`, (response) => {
      let received = 0;
      let pauseAt = slowly ? PAUSE_BYTES : Number.POSITIVE_INFINITY;
      response.on("data", (chunk: Buffer) => {
        received += chunk.length;
        if (received < pauseAt) return;
        pauseAt += PAUSE_BYTES;
        response.pause();
        setTimeout(() => response.resume(), PAUSE_MS);
      });
      response.on("error", reject);
      response.on("end", () => resolve(received));
    })
      .on("error", reject)
      .end();
  });
}

/** Uploads, chunked; gives the bytes that the upstream counted. */
async function upload(url: string, bytes: number, slowly: boolean): Promise<number> {
  const request = httpRequest(`${url}/upload${slowly ? "?pause" : ""}`, { method: "POST" });
  const answer = new Promise<number>((resolve, reject) => {
    request.on("error", reject);
    request.on("response", async (response) => resolve(Number(Buffer.concat(await response.toArray()))));
  });
  let left = bytes;
  const source = new Readable({
    read() {
      const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
      left -= chunk.length;
      this.push(chunk.length === 0 ? null : chunk);
    },
  });
  const [counted] = await Promise.all([answer, pipeline(source, request)]);
  return counted;
}

const options = readOptions({ rounds: 1, seconds: 1 });
pinSelf(LOAD_CORE);
const upstream = new Subject(process.execPath, [`${import.meta.dirname}/support/big-upstream.ts`], {
  core: LOAD_CORE,
});
const target = await upstream.line((line) => /^listening on (\S+)$/.exec(line)?.[1]);

const CASES = [
  { name: "download", run: download, slowly: false },
  { name: "download, slow client", run: download, slowly: true },
  { name: "upload", run: upload, slowly: false },
  { name: "upload, slow upstream", run: upload, slowly: true },
] as const;
interface Sample {
  growth: number;
  cpuSeconds: number;
  seconds: number;
}
const samples = CASES.map((): Sample[] => []);
let wrong = 0;
try {
  for (let i = 0; i < options.rounds; i++) {
    for (const [at, { run, slowly }] of CASES.entries()) {
      const sluice = await startSluice(
        benchConfig({
          listeners: [{ address: "127.0.0.1:0", limits: { bodySize: "2GB" } }],
          upstreams: { big: { targets: [target] } },
          routes: [{ name: "big", match: { path: "/*" }, upstream: "big" }],
        }),
      );
      try {
        await run(sluice.url, 2 ** 20, false);
        const { subject } = sluice;
        const before = { rss: subject.rss(), cpu: subject.cpuMicros(), at: performance.now() };
        subject.resetPeak();
        if ((await run(sluice.url, BYTES, slowly)) !== BYTES) wrong++;
        samples[at]!.push({
          growth: subject.peakRss() - before.rss,
          cpuSeconds: (subject.cpuMicros() - before.cpu) / 1e6,
          seconds: (performance.now() - before.at) / 1000,
        });
      } finally {
        await sluice.stop();
      }
    }
  }
} finally {
  await upstream.stop();
}

const figures = CASES.map(({ name }, i) => ({
  name,
  growth: Math.max(...samples[i]!.map((s) => s.growth)),
  cpuSeconds: median(samples[i]!.map((s) => s.cpuSeconds)),
  seconds: median(samples[i]!.map((s) => s.seconds)),
}));
console.log(`1 GB each, ${canPin ? "pinned" : "NOT pinned"}\n`);
printTable(
  ["", "peak RSS above rest", "CPU s", "s"],
  figures.map((f) => [f.name, megabytes(f.growth), f.cpuSeconds.toFixed(2), f.seconds.toFixed(1)]),
);
conclude(
  "body",
  [
    ...figures.map(({ name, growth }) => ({
      what: `${name}: memory growth`,
      value: Math.round(growth / 2 ** 20),
      limit: LIMIT_MB,
      unit: " MB",
    })),
    { what: "bodies of the wrong length", value: wrong, limit: 0 },
  ],
  { cases: figures },
  options,
);
