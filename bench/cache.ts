/** What replies of `cache` cost. */
import { measureHits } from "./support/cache-hits.ts";
import { LOAD_CORE, pinSelf } from "./support/process.ts";
import { conclude, readOptions, type Verdict } from "./support/report.ts";

const options = readOptions({ rounds: 10, seconds: 1 });
const verdicts: Verdict[] = [];
pinSelf(LOAD_CORE);
const hits = await measureHits(options, verdicts);
conclude("cache", verdicts, { hits }, options);
