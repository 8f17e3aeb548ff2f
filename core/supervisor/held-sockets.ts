/**
 * Listening sockets that outlive the processes that serve on them. The supervisor has a duplicate of each: as
 * long as it is open, connections that come wait in the kernel until a process accepts them.
 */

/** What comes with a message that brings a socket: Node's own object for it, which it does not document. */
export interface SocketHandle {
  readonly fd: number;
  close(): void;
}

export class HeldSockets {
  readonly #handles = new Map<string, SocketHandle>();

  get(key: string): SocketHandle | undefined {
    return this.#handles.get(key);
  }

  /** Keys and file descriptors of all. */
  list(): [key: string, fd: number][] {
    return [...this.#handles].map(([key, { fd }]) => [key, fd]);
  }

  hold(key: string, handle: SocketHandle): void {
    this.#handles.get(key)?.close();
    this.#handles.set(key, handle);
  }

  drop(keys: Iterable<string>): void {
    for (const key of keys) {
      this.#handles.get(key)?.close();
      this.#handles.delete(key);
    }
  }

  dropAll(): void {
    this.drop(this.#handles.keys());
  }
}
