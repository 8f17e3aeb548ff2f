/** Sluice as its users run it: built, supervised, watching its configuration. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { saveConfig, startSluice } from "../../support/gateways.ts";
import type { Contender, StartOptions } from "../contender.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");
const BUILT = join(ROOT, "dist", "core", "main.js");

const EDITS = {
  plugin: "transform",
  request: { headers: { set: { "x-tenant": "acme", "x-source": "gateway" } } },
  response: { headers: { set: { "x-served-by": "sluice" } } },
};

/** More than can come, so that all is counted and nothing refused. */
const LIMIT = { plugin: "limit", rate: "1000000/1s", by: "ip", headers: [] };
const BREAKER = { plugin: "breaker", consecutiveFailures: 6, openFor: "15s" };

/** The same in a script. */
const SCRIPT = `import { definePlugin } from "sluice/plugin";
export default definePlugin({
  request(req) {
    req.headers.set("x-tenant", "acme");
    req.headers.set("x-source", "gateway");
  },
  response(res) { res.headers.set("x-served-by", "sluice"); },
});
`;

function configOf({ upstream, revision, threads = 1, port = 0 }: StartOptions, stages: object[]): object {
  const pipeline = [...stages];
  if (revision !== undefined) {
    pipeline.push({ plugin: "transform", request: { headers: { set: { "x-revision": `${revision}` } } } });
  }
  return {
    apiVersion: "sluice/v1",
    threads,
    listeners: [{ address: `127.0.0.1:${port}`, limits: { bodySize: "1GB" } }],
    // No access log, as no peer has one; the line that says where it listens is at info.
    log: { access: false, format: "json", level: "info" },
    upstreams: { users: { targets: [upstream] } },
    routes: [{ name: "all", match: { path: "/*" }, pipeline, upstream: "users" }],
  };
}

const sluice = (name: string, stages: object[], more: Partial<Contender>): Contender => ({
  name,
  isOwn: true,
  reloadedBy: "the file is saved",
  find: () => JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string },
  async start(options) {
    const server = await startSluice(configOf(options, stages), {
      main: BUILT,
      supervise: true,
      watch: true,
      ...(options.cores === undefined ? {} : { core: options.cores }),
    });
    return {
      ...server,
      reload: (revision) => saveConfig(server.file, configOf({ ...options, revision }, stages)),
    };
  },
  ...more,
});

export const sluiceBare = sluice("Sluice", [], {});
export const sluiceEdits = sluice("Sluice + transform", [EDITS], { variant: "configured" });
export const sluiceGuarded = sluice("Sluice + limit + breaker", [LIMIT, BREAKER, EDITS], {
  variant: "guarded",
});
export const sluiceCached = sluice("Sluice + cache", [{ plugin: "cache" }], { variant: "cached" });
export const sluiceScript = sluice("Sluice + script", [{ plugin: "script", source: SCRIPT }], {
  variant: "script",
});
