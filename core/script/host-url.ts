/** URLs for scripts, parsed as the WHATWG URL Standard says: an isolate has no parser of its own. */

const PARTS = [
  "href",
  "origin",
  "protocol",
  "username",
  "password",
  "host",
  "hostname",
  "port",
  "pathname",
  "search",
  "hash",
] as const;

/** Room for a URL, and for one that it is relative to. */
const MOST_CHARS = 128 * 1024;

/** @param argument JSON `[url, base?]` */
export function parseUrl(argument: string): string {
  const [url, base] = readTexts(argument) as [string, string?];
  const parsed = URL.parse(url, base);
  if (parsed === null) throw new TypeError(`Invalid URL: ${url.slice(0, 200)}`);
  return partsOf(parsed);
}

/** @param argument JSON `[url, part, value]` */
export function setUrlPart(argument: string): string {
  const [url, part, value] = readTexts(argument) as [string, string, string];
  const parsed = new URL(url);
  const known = PARTS.find((name) => name === part && name !== "origin");
  if (known === "href") return parseUrl(JSON.stringify([value]));
  if (known !== undefined) (parsed as Record<(typeof PARTS)[number], string>)[known] = value;
  return partsOf(parsed);
}

function readTexts(argument: string): string[] {
  if (argument.length > MOST_CHARS) throw new TypeError("Invalid URL: it is too long");
  return (JSON.parse(argument) as unknown[]).map(String);
}

function partsOf(url: URL): string {
  return JSON.stringify(Object.fromEntries(PARTS.map((part) => [part, url[part]])));
}
