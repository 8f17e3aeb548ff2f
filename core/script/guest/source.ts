/** The guest runtime as text, to be run in an isolate before a script. */
import { guestContext } from "./context.ts";
import { guestEncoding } from "./encoding.ts";
import { guestEntry } from "./entry.ts";
import { guestErrors } from "./errors.ts";
import { guestHeaders } from "./headers.ts";
import { guestLockdown } from "./lockdown.ts";
import { guestLog } from "./log.ts";
import { guestMessages } from "./messages.ts";
import { guestNatives } from "./natives.ts";
import { guestUrl } from "./url.ts";

/** In this order: each uses what those before it have put into the guest, or keeps what those behind it replace. */
const PARTS = [
  guestErrors,
  guestEncoding,
  guestHeaders,
  guestUrl,
  guestMessages,
  guestLog,
  guestContext,
  guestNatives,
];

/** The body of a function whose parameter `$0` is the host's callback; it returns the entry. */
export const GUEST_SOURCE = `"use strict";
const guest = {};
(${guestLockdown})(guest, $0);
${PARTS.map((part) => `(${part})(guest);`).join("\n")}
return (${guestEntry})(guest);`;
