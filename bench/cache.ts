/**
 * What replies of `cache` cost, from memory and from Redis, beside a proxied request and nginx's `proxy_cache`; what an
 * entry weighs; how many requests of some traces are answered; and what comes of many requests at once. `--rounds` and
 * `--seconds` are those of replies under load.
 */
import { measureCrowd, measureGrowth, measureStampede } from "./support/cache-crowds.ts";
import { measureHits } from "./support/cache-hits.ts";
import { measureLevel } from "./support/cache-level.ts";
import { raiseOpenFiles } from "./support/open-files.ts";
import { LOAD_CORE, pinSelf } from "./support/process.ts";
import { conclude, readOptions, type Verdict } from "./support/report.ts";

const OPEN_FILES = 12_000;
const CROWD_SECONDS = 10;

const options = readOptions({ rounds: 10, seconds: 1 });
const mayHoldMany = raiseOpenFiles(OPEN_FILES);
const verdicts: Verdict[] = [];
pinSelf(LOAD_CORE);
const hits = await measureHits(options, verdicts);
const level = measureLevel(verdicts);
const growth = await measureGrowth(verdicts);
const stampede = await measureStampede(verdicts);
const crowd = mayHoldMany ? await measureCrowd(CROWD_SECONDS, verdicts) : undefined;
if (!mayHoldMany)
  console.log(`\nToo few open files are allowed for 10,000 connections: ${OPEN_FILES} are needed`);
conclude("cache", verdicts, { hits, level, growth, stampede, crowd }, options);
