/** Remembers what it is to keep. */
import type { ListeningSocket, SocketStore } from "../../core/threads/sockets.ts";

export class FakeSockets implements SocketStore {
  /** What {@link take} gives. */
  readonly inherited = new Map<string, number>();
  readonly held = new Map<string, ListeningSocket>();

  take(key: string): number | undefined {
    const fd = this.inherited.get(key);
    this.inherited.delete(key);
    return fd;
  }

  hold(key: string, socket: ListeningSocket): void {
    this.held.set(key, socket);
  }

  drop(keys: readonly string[]): void {
    for (const key of keys) this.held.delete(key);
  }
}
