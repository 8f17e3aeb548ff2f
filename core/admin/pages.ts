/** The pages of the admin listener: what each gives, by path and method. */
import type { Control } from "../control.ts";
import type { Exchange } from "../exchange.ts";
import { type Reply, textReply } from "../reply.ts";
import { type ScriptReading, showScript } from "../script/view.ts";
import type { TargetChange } from "../upstream/admin.ts";
import { cache, caches, lookup, purge, purgeAll, stopWarming, warm } from "./cache-pages.ts";
import { json, notJson, readSent, refused, unknown } from "./json.ts";
import { banKey, bans, key, liftBan, limit, limits, resetKey } from "./limit-pages.ts";
import type { Answer, Page } from "./page.ts";
import { heap, profile, threads } from "./thread-pages.ts";

const PAGES = {
  "/health/live": { guarded: false, methods: { GET: () => json(200, { status: "live" }) } },
  "/health/ready": { guarded: false, methods: { GET: ready } },
  "/metrics": { guarded: true, methods: { GET: metrics } },
  "/admin/config": { guarded: true, methods: { GET: showConfig } },
  "/admin/config/reload": { guarded: true, methods: { POST: reload } },
  "/admin/stats": { guarded: true, methods: { GET: stats } },
  "/admin/threads": { guarded: true, methods: { GET: threads } },
  "/admin/profile": { guarded: true, methods: { GET: profile } },
  "/admin/heap": { guarded: true, methods: { GET: heap } },
  "/admin/upstreams": { guarded: true, methods: { GET: listOf("upstreams") } },
  "/admin/upstreams/:name": { guarded: true, methods: { GET: oneOf("upstreams") } },
  "/admin/upstreams/:name/targets/:id": {
    guarded: true,
    methods: { GET: showTarget, PATCH: changeTarget },
  },
  "/admin/cache": { guarded: true, methods: { GET: caches } },
  "/admin/cache/purge": { guarded: true, methods: { POST: purgeAll } },
  "/admin/cache/:id": { guarded: true, methods: { GET: cache } },
  "/admin/cache/:id/lookup": { guarded: true, methods: { GET: lookup } },
  "/admin/cache/:id/purge": { guarded: true, methods: { POST: purge } },
  "/admin/cache/:id/warm": { guarded: true, methods: { POST: warm, DELETE: stopWarming } },
  "/admin/circuit-breakers": { guarded: true, methods: { GET: listOf("circuit-breakers") } },
  "/admin/circuit-breakers/:id": {
    guarded: true,
    methods: { GET: oneOf("circuit-breakers"), PATCH: changeOf("circuit-breakers") },
  },
  "/admin/limits": { guarded: true, methods: { GET: limits } },
  "/admin/limits/:id": { guarded: true, methods: { GET: limit } },
  "/admin/limits/:id/bans": { guarded: true, methods: { GET: bans } },
  "/admin/limits/:id/bans/:key": { guarded: true, methods: { PUT: banKey, DELETE: liftBan } },
  "/admin/limits/:id/keys/:key": { guarded: true, methods: { GET: key, DELETE: resetKey } },
  "/admin/scripts": { guarded: true, methods: { GET: listOf("scripts", showReading) } },
  "/admin/scripts/:id": {
    guarded: true,
    methods: { GET: oneOf("scripts", showReading), PATCH: changeOf("scripts", showReading) },
  },
} as const satisfies Record<string, Page>;

/** Paths of all pages, for people. */
export const PATHS: readonly string[] = Object.keys(PAGES);

const STEPS = Object.entries<Page>(PAGES).map(([path, page]) => ({ steps: path.split("/"), page }));

/** The page of a path as it came, and what its `:params` are. */
export function findPage(path: string): { page: Page | undefined; params: readonly string[] } {
  const given = path.split("/");
  const isParam = (step: string | undefined): boolean => step?.startsWith(":") ?? false;
  const found = STEPS.find(
    ({ steps }) =>
      steps.length === given.length && steps.every((step, i) => isParam(step) || step === given[i]),
  );
  if (found === undefined) return { page: undefined, params: [] };
  try {
    const params = given.filter((_, i) => isParam(found.steps[i])).map(decodeURIComponent);
    return { page: found.page, params };
  } catch {
    return { page: undefined, params: [] }; // a percent sign that encodes nothing
  }
}

function ready({ state, generation }: Control): Reply {
  const isReady = state === "ready" && generation > 0;
  return json(isReady ? 200 : 503, { status: state, generation });
}

async function metrics(control: Control): Promise<Reply> {
  const { text, contentType } = await control.metrics.render();
  return textReply(200, text, contentType);
}

function status(control: Control): object {
  const { failure, generation } = control;
  return {
    generation,
    hash: control.loaded?.config.hash,
    error: failure && { at: new Date(failure.at).toISOString(), problems: failure.problems },
  };
}

function showConfig(control: Control): Reply {
  return json(200, { ...status(control), config: control.loaded?.effective() });
}

async function reload(control: Control): Promise<Reply> {
  const result = await control.reload();
  return json(result.result === "refused" ? 422 : 200, result);
}

async function stats(control: Control): Promise<Reply> {
  const { rss, heapUsed } = process.memoryUsage();
  return json(200, {
    ...status(control),
    state: control.state,
    lastCrash: control.lastCrash,
    uptimeSeconds: Math.round(process.uptime()),
    listeners: control.urls,
    memory: { rssBytes: rss, heapUsedBytes: heapUsed },
    ...(await control.metrics.totals()),
  });
}

/** How one of a collection is shown, by its id. */
type Show = (id: string, thing: object) => object;

function asItIs(_id: string, thing: object): object {
  return thing;
}

function showReading(id: string, reading: object): object {
  return showScript(id, reading as ScriptReading);
}

/** All of a collection, as a list. */
function listOf(collection: string, show: Show = asItIs): Answer {
  return async (control) => {
    const all = await control.inspect(collection);
    return json(
      200,
      Object.entries(all).map(([id, thing]) => show(id, thing)),
    );
  };
}

function oneOf(collection: string, show: Show = asItIs): Answer {
  return async (control, _x, [id = ""]) => {
    const all = await control.inspect(collection);
    return Object.hasOwn(all, id) ? json(200, show(id, all[id]!)) : unknown(Object.keys(all));
  };
}

function changeOf(collection: string, show: Show = asItIs): Answer {
  return async (control, x, params) => {
    const patch = await readSent(x);
    if (patch === undefined) return notJson();
    try {
      await control.change(collection, params[0] ?? "", patch);
    } catch (error) {
      return refused(error);
    }
    return oneOf(collection, show)(control, x, params);
  };
}

/** What an upstream shows, as far as its targets go. */
interface ShownUpstream {
  readonly targets: readonly { readonly id: string }[];
}

async function showTarget(
  control: Control,
  _x: Exchange,
  [name = "", id = ""]: readonly string[],
): Promise<Reply> {
  const upstreams = await control.inspect("upstreams");
  if (!Object.hasOwn(upstreams, name)) return unknown(Object.keys(upstreams));
  const { targets } = upstreams[name] as ShownUpstream;
  const target = targets.find((each) => each.id === id);
  return target === undefined ? unknown(targets.map((each) => each.id)) : json(200, target);
}

async function changeTarget(control: Control, x: Exchange, params: readonly string[]): Promise<Reply> {
  const [name = "", id = ""] = params;
  const patch = await readSent(x);
  if (patch === undefined) return notJson();
  const shown = await showTarget(control, x, params);
  if (shown.status === 404) return shown;
  try {
    await control.change("upstreams", name, { target: id, set: patch } satisfies TargetChange);
  } catch (error) {
    return refused(error);
  }
  return showTarget(control, x, params);
}
