/** What the admin listener reads and replies. */
import { ConfigError } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { type Reply, textReply } from "../reply.ts";

export function json(status: number, value: unknown, headers: readonly string[] = []): Reply {
  const all = ["cache-control", "no-store", ...headers];
  return textReply(status, `${JSON.stringify(value, null, 2)}\n`, "application/json", all);
}

export function unknown(known: readonly string[]): Reply {
  return json(404, { error: "there is none of this name", known });
}

/** Bytes of a request body. */
const MAX_BODY_BYTES = 64 * 1024;

/** The body as JSON; undefined when it is none. */
export async function readSent(x: Exchange): Promise<unknown> {
  const text = (await x.readBody(MAX_BODY_BYTES)).toString();
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function notJson(): Reply {
  return json(400, { error: "the body must be JSON" });
}

/** The reply to what was refused. @throws what is no refusal */
export function refused(error: unknown): Reply {
  if (!(error instanceof ConfigError)) throw error;
  return json(422, { problems: error.problems });
}
