/** The pages that show how threads are, and what they do. */
import { BytesBody, type Body, StreamBody } from "../body.ts";
import type { Control } from "../control.ts";
import type { Exchange } from "../exchange.ts";
import { HeaderList } from "../headers.ts";
import { NotProfiled, type Profiler } from "../observe/profiling.ts";
import { Reply } from "../reply.ts";
import { json, unknown } from "./json.ts";

/** Whole seconds that a profile may take, and takes when nothing is said. */
const LEAST_SECONDS = 1;
const MOST_SECONDS = 300;
const DEFAULT_SECONDS = "10";

export async function threads(control: Control): Promise<Reply> {
  const readings = await control.metrics.readings();
  const all = control.threads.map(({ name, state, startedAt, replacements, lastReason, runningScript }) => ({
    thread: name,
    state,
    startedAt: startedAt === undefined ? null : new Date(startedAt).toISOString(),
    replacements,
    lastReason: lastReason ?? null,
    runningScript: runningScript ?? null,
    ...readings.get(name),
  }));
  return json(200, all);
}

export async function profile(control: Control, x: Exchange): Promise<Reply> {
  const seconds = parseSeconds(x.query.get("seconds") ?? DEFAULT_SECONDS);
  if (seconds === undefined) {
    return json(400, { error: `seconds must be a whole number from ${LEAST_SECONDS} to ${MOST_SECONDS}` });
  }
  return withProfiler(control, x, "cpuprofile", async (profiler) => {
    const bytes = Buffer.from(await profiler.cpuProfile(seconds * 1000, x.signal));
    return { body: new BytesBody(bytes), bytes: bytes.length };
  });
}

export function heap(control: Control, x: Exchange): Promise<Reply> {
  return withProfiler(control, x, "heapsnapshot", async (profiler) => {
    const { stream, bytes } = await profiler.heapSnapshot();
    return { body: new StreamBody(stream, bytes), bytes };
  });
}

function parseSeconds(text: string): number | undefined {
  const seconds = Number(text);
  const isGood = /^\d+$/.test(text) && seconds >= LEAST_SECONDS && seconds <= MOST_SECONDS;
  return isGood ? seconds : undefined;
}

/** Has something of a thread saved as a file. @param extension of its name, which says what it is */
async function withProfiler(
  control: Control,
  x: Exchange,
  extension: string,
  take: (profiler: Profiler) => Promise<{ body: Body; bytes: number }>,
): Promise<Reply> {
  const wanted = x.query.get("thread") ?? "0";
  const all = control.threads;
  // When there is only one thread it is the control thread too.
  const thread = wanted === "control" ? all[0] : all.find(({ name }) => name === wanted);
  if (thread === undefined) return unknown(all.map(({ name }) => name));
  if (thread.profiler === undefined) return json(503, { error: "the thread is being replaced" });
  const headers = ["content-type", "application/json", "cache-control", "no-store"];
  const time = new Date().toISOString().replace(/\.\d+|[-:]/g, "");
  headers.push("content-disposition", `attachment; filename="sluice-${thread.name}-${time}.${extension}"`);
  if (x.method === "HEAD") return new Reply(200, new HeaderList(headers));
  try {
    const { body, bytes } = await take(thread.profiler);
    return new Reply(200, new HeaderList([...headers, "content-length", String(bytes)]), body);
  } catch (error) {
    const { message } = error as Error;
    if (!(error instanceof NotProfiled)) return json(500, { error: `it could not be taken: ${message}` });
    return json(error.reason === "busy" ? 409 : 503, { error: message });
  }
}
