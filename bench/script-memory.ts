/**
 * What a loaded script weighs: the memory of a gateway with many scripts, less that of one with a single script, for
 * each script more. Every script is another file on another route, and has been called. Medians over rounds of
 * processes started anew, in turn.
 */
import { benchConfig, startSluice } from "./support/gateways.ts";
import { load } from "./support/load.ts";
import { LOAD_CORE, pinSelf } from "./support/process.ts";
import { conclude, megabytes, printTable, readOptions, round } from "./support/report.ts";
import { SCRIPTS } from "./support/scripts.ts";
import { median } from "./support/stats.ts";

const SCRIPT_COUNT = 100;
const CONNECTIONS = 8;

const options = readOptions({ rounds: 5, seconds: 1 });
pinSelf(LOAD_CORE);

/** Bytes of a gateway with so many scripts, all of them called. */
async function weigh(count: number): Promise<number> {
  const names = Array.from({ length: count }, (_, i) => `script-${i}`);
  const config = benchConfig({
    threads: 1,
    routes: names.map((name) => ({
      name,
      match: { path: `/${name}` },
      pipeline: [{ plugin: name }, { plugin: "respond", body: "ok" }],
    })),
  });
  const files = Object.fromEntries(
    names.map((name) => [`plugins/${name}.ts`, `// ${name}\n${SCRIPTS["two-hooks"]}`]),
  );
  const sluice = await startSluice(config, { files });
  try {
    for (const name of names) await fetch(`${sluice.url}/${name}`).then((reply) => reply.text());
    await load(`${sluice.url}/script-0`, CONNECTIONS, options.seconds);
    return sluice.subject.rss();
  } finally {
    await sluice.stop();
  }
}

const one: number[] = [];
const many: number[] = [];
for (let i = 0; i < options.rounds; i++) {
  one.push(await weigh(1));
  many.push(await weigh(SCRIPT_COUNT));
}
const each = median(many.map((bytes, i) => (bytes - one[i]!) / (SCRIPT_COUNT - 1))) / 2 ** 20;
printTable(
  ["", "RSS"],
  [
    ["1 script", megabytes(median(one))],
    [`${SCRIPT_COUNT} scripts`, megabytes(median(many))],
    ["each script more", `${each.toFixed(2)} MB`],
  ],
);
conclude(
  "script-memory",
  [{ what: "each script more", value: round(each, 2), limit: 2, unit: " MB" }],
  { one, many },
  options,
);
