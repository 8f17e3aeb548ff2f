/** What a data thread of a test runs. */
import { parentPort, workerData } from "node:worker_threads";
import { serveDataThread } from "../../core/threads/data-thread.ts";
import type { DataThreadStart } from "../../core/threads/messages.ts";
import { hostileCatalogue } from "./hostile-plugins.ts";

serveDataThread(parentPort!, workerData as DataThreadStart, hostileCatalogue);
