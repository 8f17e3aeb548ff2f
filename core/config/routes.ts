/** Checks routes and makes their pipelines flat. */
import { asList, asRecord, type Checking } from "./checking.ts";
import type { Plugin } from "../plugin.ts";
import { checkMatch } from "./conditions.ts";
import { copyStage, type MakeStage, type Pipelines, type Show, TOO_MANY_STAGES } from "./pipelines.ts";
import type { RateLimits, RouteLimits } from "./rate-limits.ts";
import type { Condition, RouteConfig, StageConfig } from "./checked.ts";
import { checkOwnPaths } from "./own-paths.ts";
import { checkStages, createBalanceStage, type Item } from "./stages.ts";
import type { WhoAsks } from "./who-asks.ts";

/** A checked route, and its pipeline as written. */
export interface CheckedRoute {
  readonly config: RouteConfig;
  readonly items: readonly Item[];
  readonly limits: RouteLimits;
}

/** Every route of which enough is right to make one. When nothing was reported, that is all of them. */
export function checkRoutes(
  checking: Checking,
  list: unknown,
  pipelines: Pipelines,
  rateLimits: RateLimits,
  upstreams: Record<string, unknown>,
  whoAsks: WhoAsks,
): CheckedRoute[] {
  const names = new Map<string, string>();
  const whole: RouteConfig[] = [];
  const routes = asList(list).map((value, i) => {
    const pointer = `/routes/${i}`;
    const { pipeline, upstream, rateLimits: ownLimits, ...route } = asRecord(value);
    checkName(checking, route["name"], `${pointer}/name`, names);
    checkMatch(checking, route["match"], `${pointer}/match`);
    const items = checkStages(checking, pipeline, `${pointer}/pipeline`, upstreams);
    pipelines.checkUses(items);
    if (upstream !== undefined) {
      items.push(createBalanceStage(checking, upstream, `${pointer}/upstream`, upstreams));
    }
    checkTerminal(checking, pipelines, items, pipeline, pointer);
    const limits = rateLimits.checkRoute(ownLimits, `${pointer}/rateLimits`);
    const isWhole = pipelines.isWhole(items);
    const asks = whoAsks.ofRoute(isWhole);
    const make: MakeStage<StageConfig> = (item, when) => {
      asks.enter(item);
      return copyStage(item, when);
    };
    const show: Show = (condition, at) => {
      asks.see(condition as Condition, at);
      return structuredClone(condition);
    };
    const stages = flattenRoute({ items, limits }, pipelines, make, show);
    if (stages === undefined) checking.report("CONFIG_VALUE", TOO_MANY_STAGES, `${pointer}/pipeline`);
    else checkAboveAuth(checking, stages);
    const config = { ...route, stages: stages ?? [], pointer } as unknown as RouteConfig;
    if (isWhole) whole.push(config);
    return { config, items, limits };
  });
  whoAsks.report();
  checkOwnPaths(checking, whole);
  return routes;
}

/**
 * The stages of a route, those of limits that hold for all routes included.
 * @returns undefined when there are too many
 */
export function flattenRoute<T>(
  { items, limits }: Pick<CheckedRoute, "items" | "limits">,
  pipelines: Pipelines,
  make: MakeStage<T>,
  show?: Show,
): T[] | undefined {
  let length = 0;
  let identified = 0;
  const stages = pipelines.flatten<T>(
    items,
    (item, when) => {
      length++;
      if (item.identifies === true) identified = length;
      return make(item, when);
    },
    show,
  );
  if (stages === undefined) return undefined;
  if (limits.user !== undefined) stages.splice(identified, 0, make(limits.user, undefined));
  return [...limits.first.map((item) => make(item, undefined)), ...stages];
}

function checkName(checking: Checking, name: unknown, pointer: string, names: Map<string, string>): void {
  if (typeof name !== "string") return;
  const first = names.get(name);
  if (first === undefined) {
    names.set(name, pointer);
    return;
  }
  const message = `The route name${checking.quote(name, pointer)} is taken; the first is at ${checking.placeOf(first)}`;
  checking.report("CONFIG_DUPLICATE_NAME", message, pointer);
}

/** Reports stages that serve anybody, although one below them finds out who asks and what they may do. */
function checkAboveAuth(checking: Checking, stages: readonly StageConfig[]): void {
  const deciding: Plugin[] = [];
  for (const { plugin: name, options, pointer } of stages.toReversed()) {
    const plugin = checking.catalogue.get(name);
    for (const below of deciding) {
      const harm = plugin?.harmAboveAuth?.(options as never, below);
      if (harm === undefined) continue;
      const message = `"${name}" cannot stand above "${below.name}": it ${harm}`;
      checking.report("CONFIG_BEFORE_AUTH", message, pointer);
      break;
    }
    if (plugin?.identifies === true || plugin?.authorizes === true) deciding.push(plugin);
  }
}

function checkTerminal(
  checking: Checking,
  pipelines: Pipelines,
  items: readonly Item[],
  pipeline: unknown,
  pointer: string,
): void {
  const isReadable = pipeline === undefined || Array.isArray(pipeline);
  if (pipelines.checkEnd(items) !== false || !isReadable) return;
  const message =
    "Nothing answers the requests of this route; add `upstream: NAME`, or a stage such as `respond` at the end";
  checking.report("CONFIG_NO_TERMINAL", message, pointer);
}
