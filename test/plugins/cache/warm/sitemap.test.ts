import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { parseSitemap, readSitemap } from "../../../../plugins/cache/warm/sitemap.ts";
import { cpuMsOf } from "../../../support/cpu-time.ts";

const sitemap = (...urls: string[]): string =>
  `<?xml version="1.0"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">${urls
    .map((url) => `<url><loc>${url}</loc><priority>1</priority></url>`)
    .join("\n")}</urlset>`;

describe("a sitemap", () => {
  it("gives the URLs that it lists, with what is escaped in them", () => {
    const xml = sitemap(" http://a/?b&amp;c&#61;&#x27; ", "<![CDATA[http://a/?d&e]]>", "http://a/&unknown;");
    const locations = ["http://a/?b&c='", "http://a/?d&e", "http://a/&unknown;"];
    expect(parseSitemap(xml)).toEqual({ isIndex: false, locations });
  });

  it("is read with prefixes, without what is in comments, and told from an index", () => {
    const xml =
      '<s:sitemapindex xmlns:s="x"><!-- <loc>no</loc> --><s:loc>http://a/1</s:loc></s:sitemapindex>';
    expect(parseSitemap(xml)).toEqual({ isIndex: true, locations: ["http://a/1"] });
    expect(parseSitemap("<urlset><!-- <loc>http://a/1</loc>").locations).toEqual([]);
  });

  it("defines nothing: entities of its own stay as they are", () => {
    const xml = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY f SYSTEM "file:///etc/passwd">]>';
    expect(parseSitemap(xml + sitemap("http://a/&a;&f;")).locations).toEqual(["http://a/&a;&f;"]);
  });

  it("may be packed by gzip, and then not by too much", async () => {
    expect((await readSitemap(gzipSync(sitemap("http://a/")))).locations).toEqual(["http://a/"]);
    await expect(readSitemap(gzipSync(Buffer.alloc(51 * 1024 ** 2)))).rejects.toThrow();
  });

  it("takes time in proportion to its length, whatever is in it", () => {
    const cpuMs = cpuMsOf(() => {
      for (const part of ["<loc>", "<loc><![CDATA[", "<!--", "&#", "<loc>a", "<loc ", "<a"]) {
        expect(parseSitemap(part.repeat(200_000)).locations).toEqual([]);
        expect(parseSitemap(`${part.repeat(200_000)}</loc>`).locations.length).toBeLessThan(2);
      }
    });
    expect(cpuMs).toBeLessThan(5000);
  });
});
