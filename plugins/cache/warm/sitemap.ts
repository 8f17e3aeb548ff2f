/** Reads sitemaps (sitemaps.org): no more of XML than they need, so that nothing in one can be expanded or fetched. */
import { decode } from "../../../core/content-coding.ts";

/** As the protocol has it. */
export const MOST_BYTES = 50 * 1024 ** 2;

export interface Sitemap {
  /** It lists other sitemaps. */
  readonly isIndex: boolean;
  readonly locations: readonly string[];
}

/**
 * @param bytes XML in UTF-8, or the same by gzip
 * @throws when it is too large, or packed badly
 */
export async function readSitemap(bytes: Buffer): Promise<Sitemap> {
  const isPacked = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const text = (isPacked ? await decode(bytes, "gzip", MOST_BYTES) : bytes).toString("utf8");
  return parseSitemap(text);
}

const LOCATION = /<(?:[\w-]+:)?loc\s*>/g;
const LONGEST_URL = 4096;

export function parseSitemap(xml: string): Sitemap {
  const text = withoutComments(xml);
  const isIndex = /<(?:[\w-]+:)?sitemapindex[\s>]/.test(text.slice(0, 4096));
  const locations: string[] = [];
  for (let at = 0; ; ) {
    LOCATION.lastIndex = at;
    if (!LOCATION.test(text)) break;
    const begin = LOCATION.lastIndex;
    at = text.indexOf("</", begin);
    if (at === -1) break;
    const url = at - begin > LONGEST_URL ? undefined : readLocation(text.slice(begin, at).trim());
    if (url !== undefined) locations.push(url);
  }
  return { isIndex, locations };
}

function readLocation(content: string): string | undefined {
  const plain = /^<!\[CDATA\[(.*)\]\]>$/s.exec(content)?.[1];
  if (plain !== undefined) return plain.trim();
  return content === "" || content.includes("<") ? undefined : resolveEntities(content);
}

function withoutComments(xml: string): string {
  const parts: string[] = [];
  let at = 0;
  for (;;) {
    const begin = xml.indexOf("<!--", at);
    if (begin === -1) return parts.join("") + xml.slice(at);
    parts.push(xml.slice(at, begin));
    const end = xml.indexOf("-->", begin + 4);
    if (end === -1) return parts.join("");
    at = end + 3;
  }
}

const NAMED: Readonly<Record<string, string>> = { amp: "&", apos: "'", gt: ">", lt: "<", quot: '"' };

function resolveEntities(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]{2,4}));/gi, (whole, decimal, hex, name) => {
    if (name !== undefined) return NAMED[name as string] ?? whole;
    const code = decimal === undefined ? Number.parseInt(hex as string, 16) : Number(decimal);
    return code <= 0x10ffff ? String.fromCodePoint(code) : (whole as string);
  });
}
