/** Compiles the health options of an upstream, so that what is wrong with them is found at load. */
import type { ActiveHealthConfig, PassiveHealthConfig, TargetTlsConfig } from "../../config/checked.ts";
import { ConfigError, type Problem } from "../../errors.ts";
import { isFraming, isHeaderName, isHeaderValue } from "../../headers.ts";
import { keyOf } from "../../keep.ts";
import { compileRegex } from "../../match.ts";
import { OptionBounds } from "../../option-bounds.ts";
import { childPointer } from "../../pointer.ts";
import { compileStatuses } from "../../statuses.ts";
import type { ActiveHealth } from "./active.ts";
import { createHttpProbe } from "./http-probe.ts";
import type { PassiveHealth } from "./passive.ts";
import { tcpProbe } from "./tcp-probe.ts";

/** How the health of an upstream's targets is known. */
export interface Health {
  readonly active: ActiveHealth | undefined;
  readonly passive: PassiveHealth | undefined;
}

/** The options of an upstream that this is about. */
interface HealthOptions {
  readonly health: { readonly active?: ActiveHealthConfig; readonly passive?: PassiveHealthConfig };
  readonly tls?: TargetTlsConfig | undefined;
}

const ACTIVE = "/health/active";
const PASSIVE = "/health/passive";
/** Never valid in a path that is sent. */
const BAD_PATH = /[^\x21-\x7e]|#/;

/**
 * Compiles health options.
 * @param problems where what is wrong with them goes, with pointers relative to the upstream; what is compiled is
 * of no use then
 */
export function compileHealth({ health, tls }: HealthOptions, problems: Problem[]): Health {
  const key = keyOf("active checks", [health.active, tls]);
  const active = health.active && compileActive(health.active, key, problems);
  const passive = health.passive && compilePassive(health.passive, problems);
  return { active, passive };
}

function compileActive(config: ActiveHealthConfig, key: string, problems: Problem[]): ActiveHealth {
  const { type, method, path, port, healthyThreshold, unhealthyThreshold } = config;
  const bounds = new OptionBounds(config, ACTIVE, problems);
  const intervalMs = bounds.duration("interval", "10ms", "1d");
  const timeoutMs = bounds.duration("timeout", "1ms", "1d");
  const jitter = bounds.share("jitter");
  const headers = compileHeaders(config.headers, problems);
  const statuses = compileStatuses(config.statuses, `${ACTIVE}/statuses`, problems);
  const body = compileBody(config, problems);
  if (BAD_PATH.test(path)) {
    problems.push({
      code: "CONFIG_PATTERN",
      message: "A path is sent as it is: spaces, # and what is not ASCII must be percent-encoded",
      pointer: `${ACTIVE}/path`,
    });
  }
  return {
    key,
    probe: type === "tcp" ? tcpProbe : createHttpProbe({ method, path, headers, statuses, body }),
    port,
    intervalMs,
    jitter,
    timeoutMs,
    healthyThreshold,
    unhealthyThreshold,
  };
}

function compileBody({ body, type, method }: ActiveHealthConfig, problems: Problem[]): RegExp | undefined {
  if (body === undefined) return undefined;
  const pointer = `${ACTIVE}/body`;
  const none = type === "tcp" ? "A tcp check" : method === "HEAD" ? "The reply to HEAD" : undefined;
  if (none !== undefined) {
    problems.push({ code: "CONFIG_VALUE", message: `${none} has no body to match`, pointer });
  }
  try {
    return compileRegex(body, pointer);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
    return undefined;
  }
}

function compileHeaders(
  headers: Readonly<Record<string, string>>,
  problems: Problem[],
): Record<string, string> {
  const compiled: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase();
    const problem = headerProblem(lower, value, lower in compiled);
    const pointer = childPointer(`${ACTIVE}/headers`, name);
    if (problem !== undefined) problems.push({ code: "CONFIG_VALUE", message: problem, pointer });
    compiled[lower] = value;
  }
  return compiled;
}

function headerProblem(lower: string, value: string, isThere: boolean): string | undefined {
  if (!isHeaderName(lower)) return "This is not a header name";
  if (isFraming(lower)) return `The check itself writes the header ${lower}`;
  if (isThere) return `The header ${lower} is given twice`;
  if (!isHeaderValue(value)) return "A header value cannot have control or non-Latin-1 characters";
  return undefined;
}

/** Compiles the options of passive health; as {@link compileHealth}. */
export function compilePassive(config: PassiveHealthConfig, problems: Problem[]): PassiveHealth {
  const { failures, minRequests } = config;
  const bounds = new OptionBounds(config, PASSIVE, problems);
  const errorRate = config.errorRate === undefined ? undefined : bounds.share("errorRate", "1%");
  const ejectForMs = bounds.duration("ejectFor", "1ms", "365d");
  const maxEjectForMs = bounds.duration("maxEjectFor", "1ms", "365d");
  if (failures === 0 && errorRate === undefined) {
    const message = "Nothing would eject a target: set `failures`, `errorRate` or both";
    problems.push({ code: "CONFIG_VALUE", message, pointer: `${PASSIVE}/failures` });
  }
  if (ejectForMs > maxEjectForMs) {
    const message = `\`ejectFor\` is longer than \`maxEjectFor\`, ${config.maxEjectFor}`;
    problems.push({ code: "CONFIG_VALUE", message, pointer: `${PASSIVE}/ejectFor` });
  }
  return {
    failures,
    withinMs: bounds.duration("within", "10ms", "1d"),
    errorRate,
    minRequests,
    statuses: compileStatuses(config.statuses, `${PASSIVE}/statuses`, problems),
    ejectForMs,
    maxEjectForMs,
    maxEjected: bounds.share("maxEjected"),
  };
}
