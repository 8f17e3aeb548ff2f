/** Many keep-alive connections at once: some busy all the time, the rest asking now and then, each reply checked. */
import { Connection } from "./keep-alive.ts";

/** Connections opened at a time: a burst of all would overflow the accept queue. */
const BATCH = 200;

export interface Crowd {
  url: string;
  path: string;
  connections: number;
  /** Connections that are never idle. */
  busy: number;
  /** How long all are held. */
  seconds: number;
  /** Length of a right reply's body. */
  bodyBytes: number;
}

export interface CrowdResult {
  replies: number;
  errors: string[];
}

/**
 * Opens all connections, holds them, and asks once more on each at the end.
 * @param atEnd called while all connections are still open
 */
export async function holdCrowd(crowd: Crowd, atEnd: () => void): Promise<CrowdResult> {
  const connections: Connection[] = [];
  const result: CrowdResult = { replies: 0, errors: [] };
  const ask = async (connection: Connection): Promise<void> => {
    const { status, body } = await connection.get(crowd.path);
    if (status !== 200 || body.length !== crowd.bodyBytes)
      throw new Error(`status ${status}: ${body.slice(0, 100)}`);
    result.replies++;
  };
  const note = (error: unknown): void => void result.errors.push((error as Error).message);
  try {
    while (connections.length < crowd.connections) {
      const batch = await Promise.all(Array.from({ length: BATCH }, () => Connection.open(crowd.url)));
      connections.push(...batch);
      await Promise.all(batch.map(ask));
    }
    const end = performance.now() + crowd.seconds * 1000;
    const busy = connections.slice(0, crowd.busy).map(async (connection) => {
      while (performance.now() < end) await ask(connection);
    });
    const idle = connections.slice(crowd.busy);
    const seldom = (async () => {
      for (let i = 0; performance.now() < end; i = (i + BATCH) % idle.length) {
        await Promise.all(idle.slice(i, i + BATCH).map(ask));
      }
    })();
    await Promise.all([...busy, seldom].map((work) => work.catch(note)));
    // Every connection is still good at the end.
    for (let i = 0; i < connections.length; i += BATCH) {
      await Promise.all(connections.slice(i, i + BATCH).map((connection) => ask(connection).catch(note)));
    }
    atEnd();
  } catch (error) {
    result.errors.unshift((error as Error).message);
  } finally {
    for (const connection of connections) connection.close();
  }
  return result;
}
