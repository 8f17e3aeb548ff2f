/** Headers on whatever leaves: for stages whose headers must be on failures as well as on replies. */
import type { Exchange } from "./exchange.ts";
import { HeaderList } from "./headers.ts";
import type { Handler } from "./plugin.ts";
import type { Reply } from "./reply.ts";

/**
 * Runs `next` and edits the headers of its reply. If it throws instead, the edit is made to the exchange's
 * `failureHeaders`, which the server puts on the reply it makes of the failure, and the failure goes on up.
 * @param edit may run more than once for an exchange (a stage above may try again), so it must be repeatable
 */
export async function editReplyHeaders(
  x: Exchange,
  next: Handler,
  edit: (headers: HeaderList) => void,
): Promise<Reply> {
  let reply: Reply;
  try {
    reply = await next(x);
  } catch (error) {
    edit((x.failureHeaders ??= new HeaderList()));
    throw error;
  }
  edit(reply.headers);
  return reply;
}
