/**
 * What `cache` does when many come at once: a thousand for something that is not stored, ten thousand connections for
 * something that is; and what the process grows by when fifty thousand pages are stored.
 */
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { type SluiceServer, startSluice, benchConfig } from "./gateways.ts";
import { Connection } from "./keep-alive.ts";
import { freePort, LOAD_CORE, SUBJECT_CORE, Subject } from "./process.ts";
import { printTable, round, type Verdict } from "./report.ts";
import { quantile } from "./stats.ts";
import { GC_ON_SIGNAL } from "./swapping.ts";

const AT_ONCE = 1000;
const PAGES = 50_000;
/** Lengths, and how many percent the process may grow by beside what is counted: small pieces of memory lie scattered. */
const BODIES: ReadonlyMap<number, number> = new Map([
  [766, 40],
  [10_240, 15],
]);
/** Until what does not belong to entries has grown to its size: the heap keeps room for what comes and goes. */
const WARM_UP_PAGES = 50_000;
const FILLERS = 32;
const CONNECTIONS = 10_000;
const BATCH = 200;
const PER_SECOND = 5000;
const TICK_MS = 10;
/** Until the gateway has compiled what is hot. */
const WARM_UP_SECONDS = 3;

interface Pages {
  readonly url: string;
  stop(): Promise<void>;
}

async function startPages(): Promise<Pages> {
  const file = join(import.meta.dirname, "pages-upstream.ts");
  const subject = new Subject(process.execPath, [file], { core: LOAD_CORE });
  const url = await subject.line((line) => /^listening on (\S+)$/.exec(line)?.[1]);
  return { url, stop: () => subject.stop() };
}

function startCache(
  upstream: string,
  { threads, nodeArgs = [], ...more }: { threads: number; nodeArgs?: readonly string[]; admin?: object },
): Promise<SluiceServer> {
  return startSluice(
    benchConfig({
      threads,
      ...more,
      upstreams: { pages: { targets: [upstream] } },
      routes: [
        {
          name: "pages",
          match: { path: "/*" },
          pipeline: [{ plugin: "cache", memory: { max: "2GB" } }],
          upstream: "pages",
        },
      ],
    }),
    { core: threads === 1 ? SUBJECT_CORE : [SUBJECT_CORE, LOAD_CORE], nodeArgs },
  );
}

async function openMany(url: string, count: number): Promise<Connection[]> {
  const connections: Connection[] = [];
  while (connections.length < count) {
    const size = Math.min(BATCH, count - connections.length);
    connections.push(...(await Promise.all(Array.from({ length: size }, () => Connection.open(url)))));
  }
  return connections;
}

/** How many requests reach the upstream when many come at once for what is not there. */
export async function measureStampede(verdicts: Verdict[]): Promise<object> {
  const pages = await startPages();
  const figures: { threads: number; asked: number; replies: number }[] = [];
  try {
    for (const threads of [1, 2]) {
      const before = await askedOf(pages);
      const sluice = await startCache(pages.url, { threads });
      try {
        const connections = await openMany(sluice.url, AT_ONCE);
        const replies = await Promise.all(
          connections.map((each) => each.get(`/${threads}/700?after=300`).catch(() => undefined)),
        );
        for (const each of connections) each.close();
        const right = replies.filter((reply) => reply?.status === 200 && reply.body.length === 700);
        figures.push({ threads, asked: (await askedOf(pages)) - before, replies: right.length });
      } finally {
        await sluice.stop();
      }
    }
  } finally {
    await pages.stop();
  }
  for (const { threads, asked, replies } of figures) {
    const what = `${AT_ONCE} at once, ${threads} ${threads === 1 ? "thread" : "threads"}`;
    verdicts.push({ what: `${what}: requests upstream`, value: asked, limit: 1 });
    verdicts.push({ what: `${what}: right replies`, value: replies, limit: AT_ONCE, atLeast: true });
  }
  return figures;
}

async function askedOf({ url }: Pages): Promise<number> {
  return Number(await (await fetch(`${url}/asked`)).text());
}

/** What the process grows by for each entry, beside what is counted for it. */
export async function measureGrowth(verdicts: Verdict[]): Promise<object> {
  const pages = await startPages();
  const figures: { bodyBytes: number; counted: number; grown: number }[] = [];
  try {
    for (const bodyBytes of BODIES.keys()) {
      const adminPort = await freePort();
      const admin = { address: `127.0.0.1:${adminPort}` };
      const sluice = await startCache(pages.url, { threads: 1, nodeArgs: GC_ON_SIGNAL, admin });
      try {
        await fill(sluice, "warm", bodyBytes, WARM_UP_PAGES);
        const before = [await collected(sluice), await countedBytes(adminPort)] as const;
        await fill(sluice, "page", bodyBytes, PAGES);
        const after = [await collected(sluice), await countedBytes(adminPort)] as const;
        const [grown, counted] = [(after[0] - before[0]) / PAGES, (after[1] - before[1]) / PAGES];
        figures.push({ bodyBytes, counted: Math.round(counted), grown: Math.round(grown) });
      } finally {
        await sluice.stop();
      }
    }
  } finally {
    await pages.stop();
  }
  console.log();
  printTable(
    [`${PAGES} entries in a gateway`, "bytes counted", "RSS growth"],
    figures.map(({ bodyBytes, counted, grown }) => [
      `bodies of ${bodyBytes}`,
      String(counted),
      String(grown),
    ]),
  );
  for (const { bodyBytes, counted, grown } of figures) {
    const value = round((grown / counted - 1) * 100, 1);
    const limit = BODIES.get(bodyBytes)!;
    verdicts.push({ what: `bodies of ${bodyBytes}: RSS above what is counted`, value, limit, unit: " %" });
  }
  return figures;
}

/** Has so many pages stored. */
async function fill({ url }: SluiceServer, name: string, bodyBytes: number, count: number): Promise<void> {
  const connections = await openMany(url, FILLERS);
  let next = 0;
  const ask = async (connection: Connection): Promise<void> => {
    while (next < count) {
      const { status, body } = await connection.get(`/${name}/${next++}/${bodyBytes}`);
      if (status !== 200 || body.length !== bodyBytes) throw new Error(`status ${status} of a page`);
    }
  };
  await Promise.all(connections.map(ask));
  for (const connection of connections) connection.close();
}

/** Resident bytes after garbage was collected. */
async function collected({ subject }: SluiceServer): Promise<number> {
  for (let i = 0; i < 3; i++) {
    const told = subject.line((line) => /^heap /.exec(line) ?? undefined);
    subject.signal("SIGUSR2");
    await told;
  }
  return subject.rss();
}

async function countedBytes(adminPort: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  return Number(/^sluice_cache_bytes\{.*\} (\S+)$/m.exec(text)?.[1]);
}

/** How long clients wait on many connections that ask now and then for what is stored. */
export async function measureCrowd(seconds: number, verdicts: Verdict[]): Promise<object> {
  const pages = await startPages();
  const sluice = await startCache(pages.url, { threads: 1 });
  const waits: number[] = [];
  const errors: string[] = [];
  let countFrom = 0;
  try {
    const connections = await openMany(sluice.url, CONNECTIONS);
    const free = connections.slice();
    const ask = async (connection: Connection, wantedAt: number): Promise<void> => {
      const { status, body } = await connection.get("/crowd/766");
      if (status !== 200 || body.length !== 766) throw new Error(`status ${status}`);
      if (wantedAt >= countFrom) waits.push(performance.now() - wantedAt);
      free.push(connection);
    };
    const start = performance.now();
    countFrom = start + WARM_UP_SECONDS * 1000;
    const asking: Promise<void>[] = [];
    const all = (WARM_UP_SECONDS + seconds) * PER_SECOND;
    for (let asked = 0; asked < all; ) {
      const due = Math.min(all, Math.floor(((performance.now() - start) / 1000) * PER_SECOND));
      for (; asked < due; asked++) {
        const wantedAt = start + (asked / PER_SECOND) * 1000;
        // Each in its turn; none that still waits.
        const connection = free.shift();
        if (connection === undefined) throw new Error("all connections wait");
        asking.push(ask(connection, wantedAt).catch((error: Error) => void errors.push(error.message)));
      }
      await setTimeout(TICK_MS);
    }
    await Promise.all(asking);
    for (const connection of connections) connection.close();
  } finally {
    await sluice.stop();
    await pages.stop();
  }
  const [p50Ms, p99Ms] = [round(quantile(waits, 0.5), 1), round(quantile(waits, 0.99), 1)];
  console.log(
    `\n${CONNECTIONS} connections, ${PER_SECOND} requests a second over all: p50 ${p50Ms} ms, p99 ${p99Ms} ms`,
  );
  verdicts.push({ what: `${CONNECTIONS} connections, p99`, value: p99Ms, limit: 100, unit: " ms" });
  verdicts.push({ what: `${CONNECTIONS} connections, failed requests`, value: errors.length, limit: 0 });
  return { replies: waits.length, p50Ms, p99Ms, errors: errors.slice(0, 5) };
}
