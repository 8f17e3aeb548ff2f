/**
 * 8,000 keep-alive connections at once, one in eight busy all the time and the rest asking now and then: no
 * errors and bounded memory. `--seconds` is how long they are held; `--rounds` repeats the whole.
 */
import { holdCrowd } from "./support/crowd.ts";
import { benchConfig, startSluice } from "./support/gateways.ts";
import { raiseOpenFiles } from "./support/open-files.ts";
import { canPin, LOAD_CORE, pinSelf } from "./support/process.ts";
import { conclude, megabytes, printTable, readOptions } from "./support/report.ts";
import { BODY_BYTES, startUpstream } from "./support/upstream.ts";

const CONNECTIONS = 8_000;
/** Connections that are never idle. */
const BUSY = 1_000;
const LIMIT_MB = 400;
const OPEN_FILES = CONNECTIONS * 2 + 1000;

const options = readOptions({ rounds: 1, seconds: 15 });
if (!raiseOpenFiles(OPEN_FILES)) {
  console.log(`connections: this bench needs ${OPEN_FILES} open files, and fewer are allowed`);
  process.exit(1);
}
pinSelf(LOAD_CORE);

const upstream = await startUpstream();
const peaks: number[] = [];
const errors: string[] = [];
let replies = 0;
let cpuSeconds = 0;

async function round(): Promise<void> {
  const sluice = await startSluice(
    benchConfig({
      upstreams: { users: { targets: [upstream.url] } },
      routes: [{ name: "users", match: { path: "/users/*" }, upstream: "users" }],
    }),
  );
  const { subject } = sluice;
  const crowd = {
    url: sluice.url,
    path: "/users/17",
    connections: CONNECTIONS,
    busy: BUSY,
    seconds: options.seconds,
    bodyBytes: BODY_BYTES,
  };
  try {
    const result = await holdCrowd(crowd, () => {
      peaks.push(subject.peakRss());
      cpuSeconds += subject.cpuMicros() / 1e6;
    });
    replies += result.replies;
    if (subject.ended !== undefined) errors.push(subject.ended);
    errors.push(...result.errors);
  } finally {
    await sluice.stop();
  }
}

console.log(
  `${CONNECTIONS} connections, ${BUSY} of them busy, ${options.seconds} s, ${canPin ? "pinned" : "NOT pinned"}; upstream: ${upstream.kind}\n`,
);
try {
  for (let i = 0; i < options.rounds; i++) await round();
} finally {
  await upstream.stop();
}

const peak = Math.max(...peaks);
printTable(
  ["", "figure"],
  [
    ["replies checked", replies.toLocaleString("en")],
    ["errors", String(errors.length)],
    ["peak RSS", megabytes(peak)],
    ["CPU s", cpuSeconds.toFixed(1)],
  ],
);
for (const error of errors.slice(0, 5)) console.log(`failed: ${error}`);
conclude(
  "connections",
  [
    { what: "errors", value: errors.length, limit: 0 },
    { what: "peak RSS", value: Math.round(peak / 2 ** 20), limit: LIMIT_MB, unit: " MB" },
  ],
  { peaks, errors: errors.length, replies },
  options,
);
