/** Limits that hold for all routes: makes stages of them, which routes have beside those of their pipelines. */
import { childPointer } from "../pointer.ts";
import { asRecord, type Checking } from "./checking.ts";
import { type LimitSchemas, limitSchemas } from "./rate-limits-schema.ts";
import { checkOptions, type StageItem } from "./stages.ts";

const PLUGIN = "limit";

/** By name in the configuration: the stage's name, and what it counts by when the route counts by itself. */
const KINDS = {
  global: { stage: "global-limit", by: "route" },
  perIp: { stage: "ip-limit", by: "ip" },
  perUser: { stage: "user-limit", by: "consumer" },
} as const;

type Kind = keyof typeof KINDS;
const NAMES = Object.keys(KINDS) as Kind[];

type Options = Record<string, unknown>;

/** The options that together say how much there is: who gives a rate says it anew. */
const HOW_MUCH = ["algorithm", "rate", "burst", "rules", "tiers"] as const;

/** Stages of a route that are not in its pipeline. */
export interface RouteLimits {
  /** They come first. */
  readonly first: readonly StageItem[];
  /** Comes after the last stage that says who asks. */
  readonly user: StageItem | undefined;
}

export class RateLimits {
  readonly #checking: Checking;
  readonly #schemas: LimitSchemas | undefined;
  /** Options of the gateway's; undefined for those with problems. */
  readonly #own = new Map<Kind, Options | undefined>();

  /** Checks the limits of the gateway at their own place, whether a route has them or not. */
  constructor(checking: Checking, plain: Options) {
    this.#checking = checking;
    const plugin = checking.catalogue.get(PLUGIN);
    this.#schemas = plugin && limitSchemas(plugin.schema);
    this.#eachOf(plain["rateLimits"], "/rateLimits", (kind, options, at, schemas) => {
      const isValid = checkOptions(checking, schemas.whole, options, at, [], {});
      this.#own.set(kind, isValid ? options : undefined);
    });
  }

  /** @param value what the route makes of them */
  checkRoute(value: unknown, pointer: string): RouteLimits {
    const items = new Map<Kind, StageItem>();
    for (const [kind, options] of this.#own) {
      if (options === undefined || asRecord(value)[kind] !== undefined) continue;
      items.set(kind, createItem(kind, options, false, childPointer("/rateLimits", kind)));
    }
    this.#eachOf(value, pointer, (kind, change, at, { change: schema, whole }) => {
      if (!checkOptions(this.#checking, schema, change, at, [], {})) return;
      const isOwn = "rate" in change || "rules" in change;
      const isBroken = this.#own.has(kind) && this.#own.get(kind) === undefined;
      if (isBroken && !isOwn) return;
      const options = { ...this.#own.get(kind) };
      if (isOwn) for (const name of HOW_MUCH) delete options[name];
      Object.assign(options, change);
      if (!this.#checking.applySchema(whole, options, at)) return;
      items.set(kind, createItem(kind, options, isOwn, at));
    });
    const first = (["global", "perIp"] as const).flatMap((kind) => items.get(kind) ?? []);
    return { first, user: items.get("perUser") };
  }

  /** Limits that there are options for. */
  #eachOf(
    value: unknown,
    pointer: string,
    check: (kind: Kind, options: Options, at: string, schemas: LimitSchemas) => void,
  ): void {
    const all = asRecord(value);
    for (const kind of NAMES) {
      const options = all[kind];
      if (typeof options !== "object" || options === null || Array.isArray(options)) continue;
      const at = childPointer(pointer, kind);
      if (this.#schemas !== undefined) check(kind, options as Options, at, this.#schemas);
      else this.#checking.report("CONFIG_UNKNOWN_PLUGIN", `There is no plugin "${PLUGIN}"`, at);
    }
  }
}

/** @param isOwn the route counts by itself, not with all others */
function createItem(kind: Kind, options: Options, isOwn: boolean, pointer: string): StageItem {
  const { stage: name, by } = KINDS[kind];
  const shared = kind === "global" ? "global" : ["global", by];
  const stage = {
    plugin: PLUGIN,
    name,
    onError: "fail" as const,
    options: { by: isOwn ? by : shared, ...options },
    pointer,
  };
  return { kind: "stage", stage, isTerminal: false, pointer };
}
