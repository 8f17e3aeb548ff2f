/** Names for requests: none is used twice, by whichever thread, process or machine. */
import { randomBytes } from "node:crypto";

/** What all names of this thread begin with. */
const prefix = randomBytes(6).toString("hex");
let count = 0;

/** A name that no request had before; short, for it is in every line of the log. */
export function nextRequestId(): string {
  return `${prefix}-${(++count).toString(36)}`;
}
