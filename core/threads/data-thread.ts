/** A data thread from within: a gateway that does what the control thread asks, and shows that it lives. */
import type { MessagePort } from "node:worker_threads";
import { monotonicMs, systemClock } from "../clock.ts";
import { Gateway, type Prepared } from "../gateway.ts";
import { createLog, type LogLevel } from "../observe/log.ts";
import { GatewayMetrics } from "../observe/metrics.ts";
import { profileOwnThread } from "../observe/profiling.ts";
import { ThreadHealth } from "../observe/thread-health.ts";
import type { Catalogue } from "../plugin.ts";
import { RemoteStore } from "../store/remote-store.ts";
import { createOpenStore } from "../store/stores.ts";
import { answerCall, Caller } from "./calls.ts";
import { LogPipe } from "./log-pipe.ts";
import type {
  ControlThreadCalls,
  DataThreadCalls,
  DataThreadStart,
  FromDataThread,
  ToDataThread,
} from "./messages.ts";
import { receiveFeeds, type RemoteFeed } from "./remote-feed.ts";
import { RemoteSockets } from "./remote-sockets.ts";
import { SharedMemory } from "./shared-memory.ts";
import { ownSystemId } from "../supervisor/thread-time.ts";
import { Vitals } from "./vitals.ts";

/** Time between two signs of life. */
export const BEAT_MS = 100;

/** Serves until the control thread ends this one. */
export function serveDataThread(port: MessagePort, start: DataThreadStart, catalogue: Catalogue): void {
  const { thread, level } = start;
  const pipe = new LogPipe(port);
  const log = createLog({ level, format: "json" }, pipe, { thread });
  const metrics = new GatewayMetrics();
  const health = new ThreadHealth(metrics, systemClock);
  const vitals = new Vitals(start.vitals, thread);
  vitals.systemId = ownSystemId();
  const own = profileOwnThread((ms) => vitals.beat(monotonicMs() + ms));
  const sockets = new RemoteSockets(start.sockets, port);
  const control = new Caller<ControlThreadCalls>(port);
  const gateway = new Gateway({
    catalogue,
    log,
    clock: systemClock,
    metrics,
    shared: new SharedMemory(start.memory, thread),
    vitals,
    openStore: createOpenStore({
      log,
      clock: systemClock,
      metrics,
      memory: (id) => new RemoteStore(control, id),
    }),
    sockets,
    sharesPorts: "with-threads",
    giveUp: (reason, script) => void control.call("giveUp", reason, script),
    random: Math.random,
  });
  const all = new Map<number, Prepared & { readonly level: LogLevel }>();
  const take = (number: number): Prepared & { readonly level: LogLevel } => {
    const prepared = all.get(number)!;
    all.delete(number);
    return prepared;
  };
  /** By number of the configuration, until nothing of it is left. */
  const feeds = new Map<number, ReadonlyMap<string, RemoteFeed>>();

  const calls: DataThreadCalls = {
    async prepare(config, number, sent, at) {
      const received = receiveFeeds(sent);
      feeds.set(number, received);
      try {
        const prepared = await gateway.prepare(config, number, received, at);
        all.set(number, { ...prepared, level: config.log.level });
        return { urls: prepared.urls };
      } catch (error) {
        feeds.delete(number);
        throw error;
      }
    },
    async discard(number) {
      const prepared = take(number);
      await prepared.discard();
      await prepared.retired;
      feeds.delete(number);
    },
    async stop(drainMs, patient) {
      const cut = await gateway.stop(drainMs, patient);
      health.close();
      pipe.close();
      return cut;
    },
    inspect: (collection) => gateway.inspect(collection),
    snapshot: () => metrics.snapshot(),
    change: (collection, id, patch) => gateway.change(collection, id, patch),
    ask: (collection, id, question) => gateway.ask(collection, id, question),
    writeHeap: (path) => own.writeHeap(path),
  };

  port.on("message", (message: ToDataThread) => {
    if ("call" in message) return void answerCall(calls, message, port);
    if ("answer" in message) return control.onAnswer(message);
    if ("feed" in message) {
      const { generation, upstream, targets } = message.feed;
      return feeds.get(generation)?.get(upstream)?.set(targets);
    }
    const number = message.activate;
    const prepared = take(number);
    log.setLevel(prepared.level);
    prepared.activate();
    sockets.closeUnused();
    void prepared.retired.then(() => {
      feeds.delete(number);
      port.postMessage({ retired: number } satisfies FromDataThread);
    });
  });
  // Nothing that a client, an upstream or a stage does may end the thread; what comes here is a bug of ours.
  const onBug = (error: unknown): void => {
    metrics.countError("INTERNAL");
    log.error({ err: error }, "an error was not handled; please report it");
  };
  process.on("uncaughtException", onBug);
  process.on("unhandledRejection", onBug);
  vitals.beat(monotonicMs());
  setInterval(() => vitals.beat(monotonicMs()), BEAT_MS);
}
