import { describe, expect, it } from "vitest";
import { createValidator } from "../../../core/config/validate.ts";
import type { UpstreamConfig } from "../../../core/config/checked.ts";
import { upstreamSchema } from "../../../core/config/upstream-schema.ts";
import { KeepStore } from "../../../core/keep.ts";
import { openUpstream } from "../../../core/upstream/upstream.ts";
import { surroundings } from "../../support/generation.ts";
import { bodyText, exchange } from "../../support/harness.ts";
import { startUpstream } from "../../support/upstream.ts";

function upstreamConfig(parts: object): UpstreamConfig {
  const config = { ...parts };
  expect(createValidator(upstreamSchema)(config)).toEqual([]);
  return config as UpstreamConfig;
}

/** What an upstream is opened in. */
const around = (kept = new KeepStore()) => ({ ...surroundings(new Map()), kept, baseDir: process.cwd() });

describe("an upstream", () => {
  it("has its targets in order, and sends to each below its base path", async () => {
    await using server = await startUpstream();
    const config = upstreamConfig({ targets: [server.url, { url: `${server.url}/base/` }] });
    const upstream = await openUpstream("users", config, around());
    expect(upstream.name).toBe("users");
    expect(upstream.targets.map(({ url }) => url)).toEqual([server.url, `${server.url}/base`]);
    for (const target of upstream.targets) {
      const x = exchange({ target: "/a?b" });
      await bodyText(await target.forward(x));
      expect([x.upstream, x.target?.url]).toEqual(["users", target.url]);
    }
    expect(server.seen.map(({ url }) => url)).toEqual(["/a?b", "/base/a?b"]);
    expect(upstream.stats.count).toBe(2);
    await upstream.close();
  });

  it("goes on with its connections in the next generation, unless how to connect has changed", async () => {
    const kept = new KeepStore();
    const create = (parts: object) =>
      openUpstream("a", upstreamConfig({ targets: ["http://127.0.0.1:9"], ...parts }), around(kept));
    const [first, second, third] = [await create({}), await create({}), await create({ connections: 3 })];
    expect(second.targets[0]!.pool).toBe(first.targets[0]!.pool);
    expect(third.targets[0]!.pool).not.toBe(first.targets[0]!.pool);
    for (const upstream of [first, second, third]) await upstream.close();
    expect(kept.keys()).toEqual([]);
  });

  it("connects as configured", async () => {
    let open = 0;
    let most = 0;
    await using server = await startUpstream((_request, response) => {
      most = Math.max(most, ++open);
      setImmediate(() => {
        open--;
        response.end();
      });
    });
    const config = upstreamConfig({ targets: [server.url], connections: 1, timeouts: { connect: "10s" } });
    const upstream = await openUpstream("a", config, around());
    await Promise.all([1, 2, 3].map(async () => bodyText(await upstream.targets[0]!.forward(exchange()))));
    expect(most).toBe(1);
    await upstream.close();
  });
});
