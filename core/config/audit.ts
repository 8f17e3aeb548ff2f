/** Checks `audit`: what is to be written down must not be below the level of the log. */
import { asRecord, type Checking } from "./checking.ts";

export function checkAudit(checking: Checking, config: Record<string, unknown>): void {
  const level = asRecord(config["log"])["level"];
  if (config["audit"] === undefined || level === "info" || level === "debug") return;
  const message = `Audit events are written at \`info\`, and the log leaves out what is below \`${level}\``;
  checking.report("CONFIG_VALUE", message, "/log/level");
}
