/** Checks `overload`: its levels must be in order, and comparable. */
import { parseDuration, parsePercent, parseSize, UNITS } from "../units.ts";
import { asRecord, type Checking } from "./checking.ts";

export function checkOverload(checking: Checking, config: Record<string, unknown>): void {
  const { eventLoopDelay, memory } = asRecord(config["overload"]);
  checkOrder(checking, asRecord(eventLoopDelay), "/overload/eventLoopDelay", (text) =>
    matches(UNITS.duration.pattern, text) ? parseDuration(text) : undefined,
  );
  const at = "/overload/memory";
  const levels = asRecord(memory);
  const { from, full, limit } = levels;
  if (typeof limit === "string" && matches(UNITS.size.pattern, limit) && parseSize(limit) === 0) {
    checking.report("CONFIG_VALUE", "`limit` must be more than nothing", `${at}/limit`);
  }
  if (typeof from === "string" && typeof full === "string" && from.endsWith("%") !== full.endsWith("%")) {
    const message = "`from` and `full` must both be percentages, or both be sizes";
    checking.report("CONFIG_VALUE", message, `${at}/full`);
    return;
  }
  checkOrder(checking, levels, at, (text) => {
    if (matches(UNITS.percent.pattern, text)) return parsePercent(text);
    return matches(UNITS.size.pattern, text) ? parseSize(text) : undefined;
  });
}

const matches = (pattern: string, text: string): boolean => new RegExp(pattern).test(text);

/** @param parse gives undefined for what the schema has refused already */
function checkOrder(
  checking: Checking,
  { from, full }: Record<string, unknown>,
  pointer: string,
  parse: (text: string) => number | undefined,
): void {
  const [low, high] = [from, full].map((text) => (typeof text === "string" ? parse(text) : undefined));
  if (low === undefined || high === undefined || low < high) return;
  checking.report(
    "CONFIG_VALUE",
    `\`full\` is ${full}; it must be more than \`from\`, ${from}`,
    `${pointer}/full`,
  );
}
