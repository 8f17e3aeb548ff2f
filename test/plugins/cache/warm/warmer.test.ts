import { describe, expect, it } from "vitest";
import type { WarmOptions } from "../../../../core/warm-options.ts";
import { type Sender, Warmer } from "../../../../plugins/cache/warm/warmer.ts";

const clock = { now: () => Date.now(), monotonic: () => performance.now() };

const options = (rest: Partial<WarmOptions> = {}): WarmOptions => ({
  urls: [],
  sitemaps: [],
  rate: "100000/1s",
  concurrency: 2,
  headers: {},
  ...rest,
});

/** Fills everything, but what is to fail; reads the sitemaps that there are. */
class FakeSender implements Sender {
  readonly filled: string[] = [];
  most = 0;
  #underWay = 0;
  gate: Promise<unknown> = Promise.resolve();
  readonly sitemaps: Record<string, string>;

  constructor(sitemaps: Record<string, string> = {}) {
    this.sitemaps = sitemaps;
  }

  async fill(url: string): Promise<string | undefined> {
    this.filled.push(url);
    this.most = Math.max(this.most, ++this.#underWay);
    await this.gate;
    this.#underWay--;
    if (url.includes("throws")) throw new Error("it fails");
    return url.includes("private") ? "status 200, private" : undefined;
  }

  async read(url: string): Promise<Buffer> {
    const text = this.sitemaps[url];
    if (text === undefined) throw new Error("status 404");
    return Buffer.from(text);
  }
}

const list = (...urls: string[]): string => urls.map((url) => `<loc>${url}</loc>`).join("");
const urls = Array.from({ length: 20 }, (_, i) => `/${i}`);

describe("a cache that is warmed", () => {
  it("asks for what is listed, so many at a time, and says how far it has come", async () => {
    const warmer = new Warmer(clock);
    const sender = new FakeSender();
    const gate = Promise.withResolvers<void>();
    sender.gate = gate.promise;
    expect(warmer.read()).toBeNull();
    warmer.attach(sender, undefined);
    expect(warmer.begin(options({ urls: [...urls, "/private", "/throws"] }))).toBe(true);
    expect(warmer.begin(options())).toBe(false);
    await expect.poll(() => sender.filled.length).toBe(2);
    expect(warmer.read()).toMatchObject({ state: "under-way", stored: 0, remaining: 20 });
    gate.resolve();
    await expect.poll(() => warmer.read()?.state).toBe("done");
    const lastErrors = [
      { url: "/private", reason: "status 200, private" },
      { url: "/throws", reason: "it fails" },
    ];
    expect(warmer.read()).toEqual({ state: "done", stored: 20, failed: 2, remaining: 0, lastErrors });
    expect([sender.filled.length, sender.most]).toEqual([22, 2]);
    expect(warmer.begin(options())).toBe(true);
  });

  it("asks for what sitemaps list, those of an index too, but not of an index within", async () => {
    const warmer = new Warmer(clock);
    const index = `<sitemapindex>${list("/one.xml", "/again.xml", "/none.xml")}</sitemapindex>`;
    const sender = new FakeSender({
      "/all.xml": index,
      "/again.xml": index,
      "/one.xml": list("/a", "/b", "/a"),
    });
    warmer.attach(sender, options({ sitemaps: ["/all.xml"], urls: ["/0"] }));
    await expect.poll(() => warmer.read()?.state).toBe("done");
    expect(sender.filled).toEqual(["/0", "/a", "/b"]);
    expect(warmer.read()?.lastErrors.map(({ url }) => url)).toEqual(["/again.xml", "/none.xml"]);
  });

  it("says that an index lists more than is read", async () => {
    const warmer = new Warmer(clock);
    const many = Array.from({ length: 1001 }, (_, i) => `/${i}.xml`);
    const sender = new FakeSender({ "/all.xml": `<sitemapindex>${list(...many)}</sitemapindex>` });
    warmer.attach(sender, options({ sitemaps: ["/all.xml"], rate: "1000000/1ms" }));
    await expect.poll(() => warmer.read()?.failed).toBe(1001);
    expect(warmer.read()?.lastErrors.at(-1)?.url).toBe("/999.xml");
  });

  it("takes its time", async () => {
    const warmer = new Warmer(clock);
    const began = performance.now();
    warmer.attach(new FakeSender(), options({ urls: urls.slice(0, 5), rate: "100/1s" }));
    await expect.poll(() => warmer.read()?.state).toBe("done");
    expect(performance.now() - began).toBeGreaterThan(39);
  });

  it("goes on in the next generation, and begins anew only when its list is another", async () => {
    const warmer = new Warmer(clock);
    const gate = Promise.withResolvers<void>();
    const [first, second, third] = [new FakeSender(), new FakeSender(), new FakeSender()];
    first.gate = gate.promise;
    warmer.attach(first, options({ urls }));
    await expect.poll(() => first.filled.length).toBe(2);
    warmer.attach(second, options({ urls }));
    warmer.detach(first);
    gate.resolve();
    await expect.poll(() => warmer.read()?.state).toBe("done");
    expect(second.filled).toEqual(urls.slice(2));
    warmer.attach(third, options({ urls }));
    expect(warmer.read()?.state).toBe("done");
    warmer.attach(third, options({ urls: ["/new"] }));
    await expect.poll(() => third.filled).toEqual(["/new"]);
  });

  it("has not failed at what was under way when it is stopped", async () => {
    const warmer = new Warmer(clock);
    const asked = Promise.withResolvers<void>();
    const fill: Sender["fill"] = async (_url, _headers, signal) => {
      asked.resolve();
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    warmer.attach({ fill, read: () => Promise.reject(new Error("none")) }, options({ urls, concurrency: 1 }));
    await asked.promise;
    warmer.stop();
    await expect.poll(() => warmer.read()).toMatchObject({ state: "stopped", failed: 0, remaining: 20 });
  });

  it("stops when it is told to, and when no generation is left", async () => {
    for (const stop of [(w: Warmer) => w.stop(), (w: Warmer, s: Sender) => w.detach(s)]) {
      const warmer = new Warmer(clock);
      const sender = new FakeSender();
      warmer.attach(sender, options({ urls, rate: "1/1h", concurrency: 1 }));
      await expect.poll(() => warmer.read()?.stored).toBe(1);
      stop(warmer, sender);
      await expect.poll(() => warmer.read()).toMatchObject({ state: "stopped", stored: 1, remaining: 19 });
    }
  });
});
