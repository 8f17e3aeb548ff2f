/** URLs in options of servers that the gateway itself asks, and trusts. */
import { ConfigError } from "./errors.ts";

/** A schema of the option that goes with such URLs. */
export const allowHttpOption = <const X extends string>(description: X) =>
  ({ type: "boolean", default: false, description }) as const;

/**
 * @param risk what somebody in between could do, as in `make tokens`
 * @throws ConfigError at `pointer`
 */
export function parseRemoteUrl(uri: string, allowHttp: boolean, risk: string, pointer: string): URL {
  const url = URL.parse(uri);
  const why = whyNot(url, allowHttp, risk);
  if (url === null || why !== undefined) throw new ConfigError(why ?? "", pointer, "CONFIG_VALUE");
  return url;
}

/** Why a URL is not for asking; undefined when it is. */
export function whyNot(url: URL | null, allowHttp: boolean, risk: string): string | undefined {
  if (url === null || !/^https?:$/.test(url.protocol)) return "This is not an https: URL";
  if (url.username !== "" || url.password !== "") return "The URL cannot have a user or a password";
  const isHere = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  if (url.protocol === "https:" || isHere || allowHttp) return undefined;
  return `It is asked by https:, or somebody in between can ${risk} (see \`allowHttp\`)`;
}
