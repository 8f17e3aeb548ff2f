/** Finds out which names of listed targets do not resolve. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { dnsReason } from "./addresses.ts";

/** How long a name may take to resolve. */
const LIMIT_MS = 5000;

/**
 * Which names of targets do not resolve, as the system resolves names. Never fails.
 * @param urls of targets
 * @returns the index of each that does not resolve, and why
 */
export async function findUnresolved(urls: readonly string[]): Promise<{ index: number; reason: string }[]> {
  const hosts = urls.map((url) => (/^https?:/i.test(url) ? URL.parse(url)?.hostname : undefined));
  const names = new Set(hosts.filter((host) => host !== undefined && isIP(host) === 0 && host[0] !== "["));
  const { promise: late, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(resolve, LIMIT_MS, `there was no answer within ${LIMIT_MS / 1000} s`);
  const reasons = new Map<string | undefined, string | undefined>();
  await Promise.all(
    [...names].map(async (name) => {
      const found = lookup(name!).then(
        () => undefined,
        (error) => dnsReason(error),
      );
      reasons.set(name, await Promise.race([found, late]));
    }),
  );
  clearTimeout(timer);
  return hosts.flatMap((host, index) => {
    const reason = reasons.get(host);
    return reason === undefined ? [] : [{ index, reason: `${host}: ${reason}` }];
  });
}
