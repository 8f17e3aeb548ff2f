/** Writes the values of the security headers from their options. All of this runs in build. */
import { isHeaderValue } from "../../core/headers.ts";
import { ConfigError } from "../../core/plugin.ts";
import { childPointer } from "../../core/pointer.ts";
import { parseDuration } from "../../core/units.ts";

/** Directives whose value is a list of sources (Content Security Policy 3, sections 6.1, 6.3, 6.4). */
const SOURCE_LIST = /(?:-src(?:-elem|-attr)?|^base-uri|^form-action|^frame-ancestors)$/;
/** Sources that mean something else, or nothing, without their quotes. */
const UNQUOTED_KEYWORD =
  /^(?:self|none|unsafe-inline|unsafe-eval|unsafe-hashes|strict-dynamic|report-sample|wasm-unsafe-eval|nonce-.*|sha(?:256|384|512)-.*)$/;
const DIRECTIVE_NAME = /^[a-z][a-z-]*$/;
const YEAR_SECONDS = 31_536_000;

/** A text or, for a YAML block, several lines, as one header value. */
export function oneLine(text: string, pointer: string): string {
  const value = text.trim().replace(/\s+/g, " ");
  if (value === "" || !isHeaderValue(value)) throw new ConfigError("Not a header value", pointer);
  return value;
}

/** `Content-Security-Policy` from a text or from directives by name; `true` is a directive without a value. */
export function contentSecurityPolicy(
  option: string | Readonly<Record<string, string | readonly string[] | true>>,
  pointer: string,
): string {
  if (typeof option === "string") {
    const policy = oneLine(option, pointer);
    for (const directive of policy.split(/[;,]/)) {
      const [name = "", ...sources] = directive.trim().split(" ");
      checkSources(name.toLowerCase(), sources, pointer);
    }
    return policy;
  }
  const directives = Object.entries(option).map(([name, value]) => {
    const at = childPointer(pointer, name);
    if (!DIRECTIVE_NAME.test(name)) throw new ConfigError(`"${name}" is not the name of a directive`, at);
    if (value === true || value.length === 0) return name;
    const text = oneLine(typeof value === "string" ? value : value.join(" "), at);
    if (/[;,]/.test(text)) throw new ConfigError("The value of a directive cannot have ; or ,", at);
    checkSources(name, text.split(" "), at);
    return `${name} ${text}`;
  });
  if (directives.length === 0)
    throw new ConfigError("The policy has no directive; write false for none", pointer);
  return directives.join("; ");
}

function checkSources(directive: string, sources: readonly string[], pointer: string): void {
  if (!SOURCE_LIST.test(directive)) return;
  for (const source of sources) {
    if (UNQUOTED_KEYWORD.test(source)) {
      throw new ConfigError(`The source ${source} in ${directive} needs quotes: '${source}'`, pointer);
    }
  }
}

/** What {@link strictTransportSecurity} takes. */
export interface StrictTransportSecurity {
  readonly maxAge: string;
  readonly includeSubDomains: boolean;
  readonly preload: boolean;
}

/** `Strict-Transport-Security` (RFC 6797 section 6.1). */
export function strictTransportSecurity(option: StrictTransportSecurity, pointer: string): string {
  const seconds = Math.floor(parseDuration(option.maxAge) / 1000);
  if (option.preload && (seconds < YEAR_SECONDS || !option.includeSubDomains)) {
    throw new ConfigError(
      "Browsers' preload lists ask for maxAge of at least 365d and includeSubDomains",
      `${pointer}/preload`,
    );
  }
  const subDomains = option.includeSubDomains ? "; includeSubDomains" : "";
  return `max-age=${seconds}${subDomains}${option.preload ? "; preload" : ""}`;
}

/** `Permissions-Policy` from a text, or from allow lists by feature: `*`, `self`, `src` and origins. */
export function permissionsPolicy(
  option: string | Readonly<Record<string, "*" | readonly string[]>>,
  pointer: string,
): string {
  if (typeof option === "string") return oneLine(option, pointer);
  const features = Object.entries(option).map(([feature, allowed]) => {
    const at = childPointer(pointer, feature);
    if (!DIRECTIVE_NAME.test(feature)) throw new ConfigError(`"${feature}" is not the name of a feature`, at);
    if (allowed === "*") return `${feature}=*`;
    return `${feature}=(${allowed.map((origin, i) => allowListItem(origin, childPointer(at, i))).join(" ")})`;
  });
  if (features.length === 0)
    throw new ConfigError("The policy has no feature; write false for none", pointer);
  return features.join(", ");
}

function allowListItem(item: string, pointer: string): string {
  if (item === "self" || item === "src" || item === "*") return item;
  if (/^[a-z][a-z0-9+.-]*:\/\/[\w*.[\]:-]+$/i.test(item)) return `"${item}"`;
  throw new ConfigError(`"${item}" is not self, src, * or an origin such as https://example.com`, pointer);
}
