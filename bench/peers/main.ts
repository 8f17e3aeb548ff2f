/**
 * Sluice and its peers side by side, on one machine and in one run: `npm run bench:peers`. Installs what is missing,
 * builds Sluice, makes sure that each contender does what it should, asks all the same questions, and writes
 * bench/results/<date>.json and .svg. What is missing or does not work is reported and never left out in silence.
 *
 * `--only` and `--peers` take names, separated by commas; `--no-install` installs nothing; `--rounds` and `--seconds` as
 * in all benches. The picture of docs/performance.md is replaced by whole runs only.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { raiseOpenFiles } from "../support/open-files.ts";
import { canPin, findProgram, LOAD_CORE, pinSelf } from "../support/process.ts";
import { conclude, machine, printTable, saveResult, today } from "../support/report.ts";
import { drawChart } from "./chart.ts";
import { contenders } from "./contenders/index.ts";
import { findMissingPackages, NEEDED, prepare } from "./install.ts";
import { type Entry, printLineUp, tryOut } from "./line-up.ts";
import type { Bench, Outcome, Scenario } from "./scenario.ts";
import { bare } from "./scenarios/bare.ts";
import { connections, OPEN_FILES } from "./scenarios/connections.ts";
import { scenarios } from "./scenarios/index.ts";
import { startUpstream } from "./upstream.ts";

const DOCS_PICTURE = join(import.meta.dirname, "..", "..", "docs", "performance-peers.svg");

const { values: args } = parseArgs({
  options: {
    rounds: { type: "string", default: "6" },
    seconds: { type: "string", default: "2" },
    only: { type: "string" },
    peers: { type: "string" },
    "no-install": { type: "boolean", default: false },
  },
});
const rounds = Number(args.rounds);
const seconds = Number(args.seconds);
if (!(rounds >= 1) || !(seconds > 0)) throw new TypeError("--rounds and --seconds are positive numbers");
const isWhole = args.only === undefined && args.peers === undefined;

/** Those of `all` that a comma-separated list names. @throws TypeError for a name that none has */
function choose<T extends { readonly name: string }>(all: readonly T[], names: string | undefined): T[] {
  const wanted = names?.split(",");
  const unknown = wanted?.find((name) => !all.some((each) => each.name === name));
  if (unknown !== undefined)
    throw new TypeError(`${unknown} is none of: ${all.map(({ name }) => name).join(", ")}`);
  return all.filter(({ name }) => wanted?.includes(name) ?? true);
}

const chosen = choose(contenders, args.peers);
const asked = choose(scenarios, args.only);
const mayHoldMany = raiseOpenFiles(OPEN_FILES);
const started = performance.now();
prepare(!args["no-install"]);
const lacking = NEEDED.filter((name) => findProgram(name) === undefined);
if (lacking.length > 0) {
  console.log(
    `nothing can be measured without ${lacking.join(" and ")}: apt-get install ${findMissingPackages().join(" ")}`,
  );
  process.exit(1);
}
pinSelf(LOAD_CORE);
const upstream = await startUpstream();
const outcomes = new Map<string, Outcome>();
const entries: Entry[] = [];
try {
  for (const contender of chosen) entries.push(await tryOut(contender, upstream.url));
  printLineUp(entries);
  const bench: Bench = {
    rounds,
    seconds,
    upstream,
    contenders: chosen.filter(
      ({ name }) => entries.find((entry) => entry.name === name)?.problem === undefined,
    ),
  };
  for (const scenario of asked) await ask(scenario, bench);
} finally {
  await upstream.stop();
}
finish();

/** Runs one scenario and prints what came out. */
async function ask(scenario: Scenario, bench: Bench): Promise<void> {
  if (scenario === connections && !mayHoldMany) {
    console.log(`\n== ${scenario.name} ==\nnot measured: too few open files are allowed (ulimit -n)`);
    return;
  }
  try {
    const outcome = await scenario.run(bench);
    outcomes.set(scenario.name, outcome);
    console.log(`\n== ${scenario.name}: ${outcome.title} ==`);
    printTable(outcome.head, outcome.rows);
    for (const note of outcome.notes ?? []) console.log(note);
    for (const [name, reason] of outcome.failed) console.log(`FAILED ${name}: ${reason}`);
    if (outcome.failed.size > 0) process.exitCode = 1;
  } catch (error) {
    process.exitCode = 1;
    console.log(`\nFAILED ${scenario.name}: ${(error as Error).message}`);
  }
}

/** Prints the verdicts and writes the files. */
function finish(): void {
  const minutes = (performance.now() - started) / 60_000;
  console.log(`\n${minutes.toFixed(1)} minutes; ${canPin ? "pinned" : "NOT pinned"}`);
  const all = [...outcomes.values()];
  if (entries.some(({ isBroken }) => isBroken)) process.exitCode = 1;
  conclude(
    "peers",
    all.flatMap(({ verdicts }) => verdicts),
    {},
    { rounds, seconds, save: false },
  );
  for (const what of all.flatMap(({ open = [] }) => open)) console.log(`not measured: ${what}`);
  const content = {
    bench: "peers",
    machine: machine(),
    options: { rounds, seconds },
    minutes,
    contenders: entries,
    verdicts: all.flatMap(({ verdicts }) => verdicts),
    scenarios: Object.fromEntries(
      [...outcomes].map(([name, { title, figures }]) => [name, { title, figures }]),
    ),
  };
  saveResult(`${today()}.json`, `${JSON.stringify(content, null, 2)}\n`);
  const bars = outcomes.get(bare.name)?.bars;
  if (bars === undefined) return;
  const { cpu, cores } = machine();
  const picture = drawChart({
    title: "CPU time of a proxied request",
    subtitle: `766-byte reply, 64 connections, one thread each; ${today()}, ${cores} cores of ${cpu}; less is better`,
    unit: "µs",
    bars,
  });
  saveResult(`${today()}.svg`, picture);
  if (!isWhole) return;
  writeFileSync(DOCS_PICTURE, picture);
  console.log(`saved ${DOCS_PICTURE}`);
}
