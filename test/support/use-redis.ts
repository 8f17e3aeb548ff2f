/** A Redis for the tests of a file. */
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { type RedisServer, startRedis } from "./redis.ts";

/** A running server, and what ends with the test. */
export interface UsedRedis {
  readonly server: RedisServer;
  readonly using: AsyncDisposableStack;
}

/** Starts a server before the tests of the block that it is called in, and empties it before each of them. */
export function useRedis(): UsedRedis {
  let server: RedisServer;
  let using: AsyncDisposableStack;
  beforeAll(async () => {
    server = await startRedis();
  });
  beforeEach(async () => {
    using = new AsyncDisposableStack();
    await server.ask("flushall");
  });
  afterEach(() => using.disposeAsync());
  afterAll(() => server[Symbol.asyncDispose]());
  return {
    get server() {
      return server;
    },
    get using() {
      return using;
    },
  };
}
