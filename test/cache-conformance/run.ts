/**
 * `npm run test:cache`: how well the cache keeps the RFCs, by the tests of `http-cache-tests`. Prints the score and what
 * fails, and exits with 1 when something fails that has passed before. With `--update` it notes what passes.
 */
import { writeFileSync } from "node:fs";
import { runConformance } from "./conformance.ts";
import { isJudged, KINDS, KNOWN, kindOf, regressions, scoreOf, setupFailures, summarize } from "./score.ts";
import { tests } from "./suites.ts";

const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;

const results = await runConformance();
const short = summarize(results);
for (const kind of KINDS) {
  for (const [id, result] of Object.entries(short)) {
    const note = isJudged(id, results) ? "" : " (not judged: what it builds on fails)";
    if (result !== "pass" && kindOf(tests.get(id)!) === kind) console.log(`${kind}: ${id}: ${result}${note}`);
  }
}
const score = scoreOf(results);
for (const kind of KINDS) {
  const { passed, all } = score[kind];
  console.log(`${kind.padEnd(9)} ${passed} of ${all} (${percent(passed, all)})`);
}
console.log(`not set up ${setupFailures(results).join(", ") || "none"}`);
if (process.argv.includes("--update")) {
  writeFileSync(KNOWN, `${JSON.stringify(short, undefined, 2)}\n`);
} else {
  const worse = regressions(results);
  for (const id of worse) console.log(`has passed before: ${id}: ${short[id]}`);
  process.exitCode = worse.length === 0 ? 0 : 1;
}
