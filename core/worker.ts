/** What a data thread runs: the gateway with its built-in plugins. */
import { parentPort, workerData } from "node:worker_threads";
import { catalogue } from "../plugins/index.ts";
import type { DataThreadStart } from "./threads/messages.ts";
import { serveDataThread } from "./threads/data-thread.ts";

serveDataThread(parentPort!, workerData as DataThreadStart, catalogue);
