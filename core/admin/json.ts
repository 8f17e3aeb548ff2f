/** Replies of the admin listener. */
import { type Reply, textReply } from "../reply.ts";

export function json(status: number, value: unknown, headers: readonly string[] = []): Reply {
  const all = ["cache-control", "no-store", ...headers];
  return textReply(status, `${JSON.stringify(value, null, 2)}\n`, "application/json", all);
}

export function unknown(known: readonly string[]): Reply {
  return json(404, { error: "there is none of this name", known });
}
