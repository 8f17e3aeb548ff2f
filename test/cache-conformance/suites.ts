/** The tests of `http-cache-tests` that are for caches of servers, as its own command runs them. */
import type { CacheTest, Suite } from "http-cache-tests/tests/index.mjs";
import suitesOfAll from "http-cache-tests/tests/index.mjs";
import surrogateControl from "http-cache-tests/tests/surrogate-control.mjs";

export type { CacheTest };

export const suites: readonly Suite[] = [...suitesOfAll, surrogateControl as unknown as Suite].map(
  (suite) => ({
    ...suite,
    tests: suite.tests.filter((test) => test.browser_only !== true),
  }),
);

export const tests: ReadonlyMap<string, CacheTest> = new Map(
  suites.flatMap((suite) => suite.tests).map((test) => [test.id, test]),
);
