/**
 * Listening sockets that outlive a process, or a thread: a supervisor keeps them, so that connections wait while nobody
 * accepts them, and gives them to who comes after.
 */

/** A listening socket of this process. */
export interface ListeningSocket {
  /** Its file descriptor, of which there is one table for all threads. */
  readonly fd: number;
  /** Node's object for it, in the thread that listens: only there it can be used, and there it must be. */
  readonly handle?: object;
}

export interface SocketStore {
  /** The file descriptor of a socket that is kept, if there is one; the caller owns it then. It stays kept. */
  take(key: string): number | undefined;
  /** Has a socket kept. */
  hold(key: string, socket: ListeningSocket): void;
  /** Has sockets kept no longer. To be called before they are closed: what is kept lets clients wait in vain. */
  drop(keys: readonly string[]): void;
}

/** Keys and file descriptors. */
export type KeptSockets = readonly (readonly [key: string, fd: number])[];

/** The sockets of all threads; those of each are under keys that begin with its {@link prefixOf}. */
export interface ProcessSockets extends SocketStore {
  /** Takes all whose keys begin so; the keys given are without it. */
  takeAll(prefix: string): KeptSockets;
  /** Duplicates of those that are kept now, for a thread that replaces another. */
  handBack(prefix: string): Promise<KeptSockets>;
  dropAll(prefix: string): void;
}

/** When there is nobody who could keep sockets. */
export const NO_SOCKETS: ProcessSockets = {
  take: () => undefined,
  hold() {},
  drop() {},
  takeAll: () => [],
  handBack: async () => [],
  dropAll() {},
};

export function prefixOf(thread: number): string {
  return `${thread} `;
}

/** The part of a store that is a thread's. */
export function socketsOf(thread: number, store: SocketStore): SocketStore {
  const prefix = prefixOf(thread);
  return {
    take: (key) => store.take(prefix + key),
    hold: (key, socket) => store.hold(prefix + key, socket),
    drop: (keys) => store.drop(keys.map((key) => prefix + key)),
  };
}
