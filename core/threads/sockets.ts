/**
 * Listening sockets that outlive a process: a supervisor keeps them, so that connections wait while nobody
 * accepts them, and gives them to the process that comes after.
 */

/** A listening socket of this process. */
export interface ListeningSocket {
  /** Its file descriptor, of which there is one table for all threads. */
  readonly fd: number;
  /** Node's object for it, in the thread that listens: only there it can be used, and there it must be. */
  readonly handle?: object;
}

export interface SocketStore {
  /** The file descriptor of a socket that was kept for this process, if there is one; the caller owns it then. */
  take(key: string): number | undefined;
  /** Has a socket kept, from when this process serves. */
  hold(key: string, socket: ListeningSocket): void;
  /** Has sockets kept no longer. To be called before they are closed: what is kept lets clients wait in vain. */
  drop(keys: readonly string[]): void;
}

/** When there is nobody who could keep sockets. */
export const NO_SOCKETS: SocketStore = { take: () => undefined, hold() {}, drop() {} };
