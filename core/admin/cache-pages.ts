/** The pages of caches: what they have done, what they have, and purges. */
import { randomUUID } from "node:crypto";
import {
  type CacheReading,
  type LookupReading,
  type PurgeReading,
  type PurgeRequest,
  type WarmAnswer,
  showCache,
  showLookup,
} from "../cache-view.ts";
import { checkSent } from "../config/check-sent.ts";
import type { Control } from "../control.ts";
import { ConfigError } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import type { JsonSchema } from "../plugin.ts";
import type { Reply } from "../reply.ts";
import { hasNothing, type WarmOptions, warmOption } from "../warm-options.ts";
import { json, notJson, readSent, refused, unknown } from "./json.ts";
import type { Answer } from "./page.ts";

const COLLECTION = "caches";

const text = <const X extends string>(description: X) =>
  ({ type: "string", minLength: 1, description }) as const;

const purgeSchema = {
  type: "object",
  description: "What is purged.",
  properties: {
    tag: text("Replies with this tag."),
    url: text("Replies to this URL, whatever else they are told apart by."),
    prefix: text("Replies to URLs that begin with it."),
    key: text("Replies with this key, as a lookup shows it."),
    all: { const: true, description: "All of them." },
    soft: { type: "boolean", description: "They become stale; else they are gone." },
  },
  additionalProperties: false,
} as const satisfies JsonSchema;

export const caches: Answer = async (control) => {
  const all = Object.entries(await control.inspect(COLLECTION));
  return json(
    200,
    all.map(([id, reading]) => showCache(id, reading as CacheReading)),
  );
};

export const cache: Answer = async (control, _x, [id = ""]) => {
  const all = await control.inspect(COLLECTION);
  if (!Object.hasOwn(all, id)) return unknown(Object.keys(all));
  return json(200, showCache(id, all[id] as CacheReading));
};

export const lookup: Answer = async (control, x, [id = ""]) => {
  const [by, value] = [...x.query][0] ?? [];
  if ((by !== "url" && by !== "key") || value === undefined || x.query.size > 1) {
    return json(400, { error: "one of `url` and `key` is needed" });
  }
  try {
    const readings = await control.ask(COLLECTION, id, { kind: "lookup", by, value });
    if (readings.length === 0) return await cache(control, x, [id]);
    return json(200, showLookup(readings as LookupReading[]));
  } catch (error) {
    return refused(error);
  }
};

export const purge: Answer = async (control, x, [id = ""]) => {
  const known = Object.keys(await control.inspect(COLLECTION));
  return known.includes(id) ? purgeThese(control, x, [id]) : unknown(known);
};

export const purgeAll: Answer = async (control, x) =>
  purgeThese(control, x, Object.keys(await control.inspect(COLLECTION)));

export const warm: Answer = async (control, x, [id = ""]) => {
  const options = await readSent(x);
  if (options === undefined) return notJson();
  try {
    checkSent(warmOption, options); // fills in what is left out
    if (hasNothing(options as WarmOptions)) {
      throw new ConfigError("`urls` or `sitemaps` is needed", "", "CONFIG_VALUE");
    }
    const answers = await control.ask(COLLECTION, id, { kind: "warm", options });
    const isBusy = (answers as WarmAnswer[]).some((answer) => answer.isBusy);
    return isBusy ? json(409, { error: "it is being warmed" }) : await cache(control, x, [id]);
  } catch (error) {
    return refused(error);
  }
};

export const stopWarming: Answer = async (control, x, [id = ""]) => {
  await control.ask(COLLECTION, id, { kind: "stop-warming" });
  return cache(control, x, [id]);
};

/** Purges caches by what was sent, on all threads. */
async function purgeThese(control: Control, x: Exchange, ids: readonly string[]): Promise<Reply> {
  const sent = await readSent(x);
  if (sent === undefined) return notJson();
  try {
    const request = readPurge(sent);
    const done = await Promise.all(ids.map((id) => purgeOne(control, id, request)));
    const isSpread = done.every((each) => each);
    return json(isSpread ? 200 : 202, { purged: request, caches: ids, everywhere: isSpread });
  } catch (error) {
    return refused(error);
  }
}

/** @returns whether all other gateways with its store know */
async function purgeOne(control: Control, id: string, purge: PurgeRequest): Promise<boolean> {
  const done = await control.ask(COLLECTION, id, { kind: "purge", purge, id: randomUUID() });
  return (done as PurgeReading[]).every(({ isSpread }) => isSpread);
}

/** @throws ConfigError with pointers into what was sent */
function readPurge(sent: unknown): PurgeRequest {
  checkSent(purgeSchema, sent);
  const { soft = false, ...named } = sent as Partial<Record<PurgeRequest["kind"], string>> & {
    soft?: boolean;
  };
  const [first, ...others] = Object.entries(named) as [PurgeRequest["kind"], string | true][];
  if (first === undefined || others.length > 0) {
    throw new ConfigError(
      "Exactly one of `tag`, `url`, `prefix`, `key` and `all` is needed",
      "",
      "CONFIG_VALUE",
    );
  }
  return { kind: first[0], value: first[1] === true ? "" : first[1], soft };
}
