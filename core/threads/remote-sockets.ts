/** The sockets of a data thread, as it sees them: kept through the control thread. */
import { closeSync } from "node:fs";
import type { MessagePort } from "node:worker_threads";
import type { FromDataThread } from "./messages.ts";
import type { KeptSockets, ListeningSocket, SocketStore } from "./sockets.ts";

export class RemoteSockets implements SocketStore {
  readonly #kept: Map<string, number>;
  readonly #port: Pick<MessagePort, "postMessage">;

  constructor(kept: KeptSockets, port: Pick<MessagePort, "postMessage">) {
    this.#kept = new Map(kept);
    this.#port = port;
  }

  take(key: string): number | undefined {
    const fd = this.#kept.get(key);
    this.#kept.delete(key);
    return fd;
  }

  hold(key: string, { fd }: ListeningSocket): void {
    this.#post({ hold: key, fd });
  }

  drop(keys: readonly string[]): void {
    if (keys.length > 0) this.#post({ drop: keys });
  }

  /** Closes what the first configuration has no use for. */
  closeUnused(): void {
    this.drop([...this.#kept.keys()]);
    for (const fd of this.#kept.values()) closeSync(fd);
    this.#kept.clear();
  }

  #post(message: FromDataThread): void {
    this.#port.postMessage(message);
  }
}
