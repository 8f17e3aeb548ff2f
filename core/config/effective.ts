/** The configuration as it may be shown: with defaults or as it was written, secrets masked. */
import { childPointer } from "../pointer.ts";
import type { MakeStage, Pipelines, Show } from "./pipelines.ts";
import { type CheckedRoute, flattenRoute } from "./routes.ts";
import type { Condition } from "./checked.ts";
import type { StageItem } from "./stages.ts";
import { maskValue, type Secrets } from "./secrets.ts";
import { findNode, type MapNode, toPlain } from "./tree.ts";

type Shown = Record<string, unknown>;

/** As it was written, all files joined, without `include`. */
export function showWritten(tree: MapNode, secrets: Secrets): Shown {
  const { include: _, ...plain } = toPlain(tree) as Shown;
  return maskValue(plain, tree, "", secrets) as Shown;
}

/**
 * With all defaults. Routes have their stages flat, those that `upstream` and `rateLimits` stand for included; named
 * pipelines are as they were written.
 */
export function showEffective(
  plain: Shown,
  routes: readonly CheckedRoute[],
  pipelines: Pipelines,
  tree: MapNode,
  secrets: Secrets,
): Shown {
  const show: Show = (value, pointer) => {
    const { node, exact } = findNode(tree, pointer);
    return maskValue(value, exact ? node : undefined, pointer, secrets) as typeof value;
  };
  const { include: _, routes: list, pipelines: __, rateLimits: ___, ...rest } = plain;
  const shown: Shown = show(rest, "");
  const { pipelines: written } = showWritten(tree, secrets);
  if (written !== undefined) shown["pipelines"] = written;
  shown["routes"] = routes.map((checked, i) => {
    const { pipeline: _, upstream: __, rateLimits: ___, ...route } = (list as Shown[])[i] ?? {};
    const make: MakeStage<Shown> = (item, when) => showStage(item, when, show);
    const stages = flattenRoute(checked, pipelines, make, show) ?? [];
    return { ...show(route, childPointer("/routes", i)), pipeline: stages };
  });
  return shown;
}

function showStage({ stage, own }: StageItem, when: Condition | undefined, show: Show): Shown {
  const { plugin, name, onError, options, pointer } = stage;
  const shown = own === undefined ? options : own;
  return {
    plugin: show(plugin, `${pointer}/plugin`),
    ...(name === plugin ? {} : { name: show(name, `${pointer}/name`) }),
    ...(when === undefined ? {} : { when }),
    ...(onError === "fail" ? {} : { onError: show(onError, `${pointer}/onError`) }),
    ...show(shown, pointer),
  };
}
