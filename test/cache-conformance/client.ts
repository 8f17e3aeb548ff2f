/**
 * Runs tests of `http-cache-tests` against a cache: `client.ts URL [ID…]`, all of them without ids. A process of its own
 * each time, because the package keeps its results in its modules. Prints them as JSON.
 */
import { getResults, runTests } from "http-cache-tests/client/runner.mjs";
import fetch from "node-fetch";
import { suites } from "./suites.ts";

/** Most of a test is waiting. */
const AT_ONCE = 400;

const [baseUrl = "", ...ids] = process.argv.slice(2);
const chosen = suites.map((suite) => ({
  ...suite,
  tests: suite.tests.filter((test) => ids.length === 0 || ids.includes(test.id)),
}));
await runTests(chosen, fetch, false, baseUrl, AT_ONCE);
process.stdout.write(JSON.stringify(getResults()));
