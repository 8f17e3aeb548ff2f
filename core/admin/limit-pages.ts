/** The pages of limits: what they have counted, what is left for a key, who is banned. */
import { checkSent } from "../config/check-sent.ts";
import type { Control } from "../control.ts";
import { ConfigError } from "../errors.ts";
import {
  type KeyReading,
  type LimitQuestion,
  type LimitReading,
  mergeKeyReadings,
  showLimit,
  showLimitWhole,
} from "../limit-view.ts";
import type { JsonSchema } from "../plugin.ts";
import type { Reply } from "../reply.ts";
import { anyDuration, parseDuration } from "../units.ts";
import { json, notJson, readSent, refused, unknown } from "./json.ts";
import type { Answer } from "./page.ts";

const COLLECTION = "limits";

const DAY_MS = 86_400_000;
const LONGEST_BAN_MS = 365 * DAY_MS;

const banSchema = {
  type: "object",
  description: "A ban.",
  properties: { for: anyDuration("How long.") },
  required: ["for"],
  additionalProperties: false,
} as const satisfies JsonSchema;

export const limits: Answer = async (control) => {
  const all = Object.entries(await control.inspect(COLLECTION));
  return json(
    200,
    all.map(([id, reading]) => showLimit(id, reading as LimitReading)),
  );
};

export const limit: Answer = async (control, _x, [id = ""]) => {
  const all = await control.inspect(COLLECTION);
  if (!Object.hasOwn(all, id)) return unknown(Object.keys(all));
  return json(200, showLimitWhole(id, all[id] as LimitReading));
};

export const bans: Answer = async (control, _x, [id = ""]) => {
  const all = await control.inspect(COLLECTION);
  if (!Object.hasOwn(all, id)) return unknown(Object.keys(all));
  const known = (all[id] as LimitReading).bans;
  return known === null ? json(503, { error: "the store could not be asked" }) : json(200, known);
};

export const key: Answer = (control, _x, [id = "", name = ""]) => aboutKey(control, id, name);

export const resetKey: Answer = (control, _x, [id = "", name = ""]) =>
  aboutKey(control, id, name, { kind: "reset", key: name });

export const liftBan: Answer = (control, _x, [id = "", name = ""]) =>
  aboutKey(control, id, name, { kind: "ban", key: name, forMs: 0 });

export const banKey: Answer = async (control, x, [id = "", name = ""]) => {
  const sent = await readSent(x);
  if (sent === undefined) return notJson();
  let forMs: number;
  try {
    forMs = readBan(sent);
  } catch (error) {
    return refused(error);
  }
  return aboutKey(control, id, name, { kind: "ban", key: name, forMs });
};

/** @throws ConfigError with pointers into what was sent */
function readBan(sent: unknown): number {
  checkSent(banSchema, sent);
  const forMs = Math.floor(parseDuration((sent as { for: string }).for));
  if (forMs >= 1 && forMs <= LONGEST_BAN_MS) return forMs;
  throw new ConfigError("A ban lasts from 1ms to 365d", "/for", "CONFIG_VALUE");
}

/**
 * Does something to a key, on all threads, and shows what is left for it then.
 * @param toDo nothing, to look only
 */
async function aboutKey(control: Control, id: string, key: string, toDo?: LimitQuestion): Promise<Reply> {
  if (toDo !== undefined) await control.ask(COLLECTION, id, toDo);
  const [first, ...others] = (await control.ask(COLLECTION, id, { kind: "read", key })) as KeyReading[];
  if (first === undefined) return unknown(Object.keys(await control.inspect(COLLECTION)));
  return json(200, mergeKeyReadings([first, ...others]));
}
