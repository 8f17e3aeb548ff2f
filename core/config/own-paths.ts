/** Checks that requests for the paths which stages answer themselves reach such stages. */
import { compilePathTest } from "../match.ts";
import { parsePointer } from "../pointer.ts";
import type { Condition, PathMatch, RouteConfig, StageConfig } from "./checked.ts";
import type { Checking } from "./checking.ts";
import { findReferences } from "./walk-schema.ts";

interface OwnPath {
  readonly path: string;
  /** Where it is written. */
  readonly pointers: string[];
  isReached: boolean;
}

/**
 * Reports paths that no route with such a stage matches. Of stages of one plugin with the same path it is enough that
 * one is reached.
 * @param routes those whose stages are all known
 */
export function checkOwnPaths(checking: Checking, routes: readonly RouteConfig[]): void {
  const found = new Map<string, OwnPath>();
  for (const { match, stages } of routes) {
    for (const stage of stages) {
      for (const [pointer, path] of ownPathsOf(checking, stage)) {
        const key = JSON.stringify([stage.plugin, parsePointer(pointer).at(-1), path]);
        let own = found.get(key);
        if (own === undefined) found.set(key, (own = { path, pointers: [], isReached: false }));
        own.pointers.push(pointer);
        own.isReached ||= mayReach(match, stage.when, path);
      }
    }
  }
  for (const { path, pointers, isReached } of found.values()) {
    if (isReached) continue;
    for (const pointer of new Set(pointers)) {
      const option = parsePointer(pointer).at(-1);
      const message = `No route with this stage matches its \`${option}\`${checking.quote(path, pointer)}`;
      checking.report("CONFIG_UNMATCHED_PATH", message, pointer);
    }
  }
}

function ownPathsOf(
  checking: Checking,
  { plugin: name, options, pointer, script }: StageConfig,
): [pointer: string, path: string][] {
  const plugin = script === undefined ? checking.catalogue.get(name) : undefined;
  return plugin === undefined ? [] : findReferences("own-path", plugin.schema, options, pointer);
}

function mayReach(match: RouteConfig["match"], when: Condition | undefined, path: string): boolean {
  try {
    return mayMatch(match.path, path) && mayHold(when, path);
  } catch {
    return true; // what is wrong with the route or the condition is reported where it is written
  }
}

function mayHold(condition: Condition | undefined, path: string): boolean {
  if (condition === undefined) return true;
  return mayMatch(condition.path, path) && (condition.all ?? []).every((inner) => mayHold(inner, path));
}

const mayMatch = (match: PathMatch | undefined, path: string): boolean =>
  match === undefined || compilePathTest(match, "")(path);
