/**
 * What saving a script costs while traffic runs: its file is replaced (written beside it and renamed) again and again.
 * Each version names itself in a header of the reply.
 *
 * `--rounds` is the number of swaps; `--seconds` is the warm-up before the first.
 */
import { join } from "node:path";
import { benchConfig, saveFile, startSluice } from "./support/gateways.ts";
import { canPin, LOAD_CORE, pinSelf } from "./support/process.ts";
import { readOptions } from "./support/report.ts";
import { CONNECTIONS, GC_ON_SIGNAL, measureSwaps } from "./support/swapping.ts";
import { BODY_BYTES, startUpstream } from "./support/upstream.ts";

const options = readOptions({ rounds: 1000, seconds: 5 });
pinSelf(LOAD_CORE);

const scriptOf = (revision: number): string => `import { definePlugin } from "sluice/plugin";
export default definePlugin({
  request(req) { req.headers.set("x-revision", "${revision}"); },
  response(res) { res.headers.set("x-revision", "${revision}"); },
});
`;

const upstream = await startUpstream();
const config = benchConfig({
  threads: 1,
  upstreams: { users: { targets: [upstream.url] } },
  routes: [
    { name: "users", match: { path: "/users/*" }, pipeline: [{ plugin: "named" }], upstream: "users" },
  ],
});
const sluice = await startSluice(config, {
  watch: true,
  nodeArgs: GC_ON_SIGNAL,
  files: { "plugins/named.ts": scriptOf(0) },
});
console.log(
  `${options.rounds} swaps, ${CONNECTIONS} connections, ${canPin ? "pinned" : "NOT pinned"}; upstream: ${upstream.kind}\n`,
);
try {
  await measureSwaps({
    name: "script-swap",
    sluice,
    paths: ["/users/17"],
    save: (revision) => saveFile(join(sluice.file, "..", "plugins", "named.ts"), scriptOf(revision)),
    revisionOf: (_path, { head, body }) =>
      body.length === BODY_BYTES ? /\r\nx-revision: (\d+)/i.exec(head)?.[1] : undefined,
    options,
  });
} finally {
  await sluice.stop();
  await upstream.stop();
}
