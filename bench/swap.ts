/**
 * What a change of the configuration costs while traffic runs: the file is replaced (written beside it and renamed)
 * again and again. Each revision names itself in a fixed reply and in a header of a proxied one.
 *
 * `--rounds` is the number of swaps; `--seconds` is the warm-up before the first.
 */
import { benchConfig, saveConfig, startSluice } from "./support/gateways.ts";
import { canPin, LOAD_CORE, pinSelf } from "./support/process.ts";
import { readOptions } from "./support/report.ts";
import { CONNECTIONS, GC_ON_SIGNAL, measureSwaps } from "./support/swapping.ts";
import { BODY_BYTES, startUpstream } from "./support/upstream.ts";

const options = readOptions({ rounds: 1000, seconds: 5 });
pinSelf(LOAD_CORE);

const configOf = (revision: number, target: string): object =>
  benchConfig({
    log: { access: false, format: "json", level: "info" },
    upstreams: { users: { targets: [target] } },
    routes: [
      {
        name: "fixed",
        match: { path: "/revision" },
        pipeline: [{ plugin: "respond", body: `${revision}` }],
      },
      {
        name: "users",
        match: { path: "/users/*" },
        pipeline: [{ plugin: "transform", response: { headers: { set: { "x-revision": `${revision}` } } } }],
        upstream: "users",
      },
    ],
  });

const upstream = await startUpstream();
const sluice = await startSluice(configOf(0, upstream.url), { watch: true, nodeArgs: GC_ON_SIGNAL });
console.log(
  `${options.rounds} swaps, ${CONNECTIONS} connections, ${canPin ? "pinned" : "NOT pinned"}; upstream: ${upstream.kind}\n`,
);
try {
  await measureSwaps({
    name: "swap",
    sluice,
    paths: ["/revision", "/users/17"],
    save: (revision) => saveConfig(sluice.file, configOf(revision, upstream.url)),
    revisionOf(path, { head, body }) {
      if (path === "/revision") return body;
      return body.length === BODY_BYTES ? /\r\nx-revision: (\d+)/i.exec(head)?.[1] : undefined;
    },
    options,
  });
} finally {
  await sluice.stop();
  await upstream.stop();
}
