import { describe, expect, it } from "vitest";
import { createValidator } from "../../../core/config/validate.ts";
import type { UpstreamConfig } from "../../../core/config/checked.ts";
import { upstreamSchema } from "../../../core/config/schema.ts";
import { KeepStore } from "../../../core/keep.ts";
import { DurationStats } from "../../../core/observe/metrics.ts";
import { createUpstream } from "../../../core/upstream/upstreams.ts";
import { bodyText, exchange } from "../../support/harness.ts";
import { startUpstream } from "../../support/upstream.ts";

function upstreamConfig(parts: object): UpstreamConfig {
  const config = { ...parts };
  expect(createValidator(upstreamSchema)(config)).toEqual([]);
  return config as UpstreamConfig;
}

describe("an upstream", () => {
  it("has its targets in order, and sends to each below its base path", async () => {
    await using server = await startUpstream();
    const lease = new KeepStore().lease();
    const stats = new DurationStats();
    const config = upstreamConfig({ targets: [server.url, { url: `${server.url}/base/` }] });
    const upstream = createUpstream("users", config, lease.keep.bind(lease), stats);
    expect(upstream.name).toBe("users");
    expect(upstream.targets.map(({ url }) => url)).toEqual([server.url, `${server.url}/base`]);
    for (const target of upstream.targets) {
      const x = exchange({ target: "/a?b" });
      await bodyText(await target.forward(x));
      expect([x.upstream, x.targetUrl]).toEqual(["users", target.url]);
    }
    expect(server.seen.map(({ url }) => url)).toEqual(["/a?b", "/base/a?b"]);
    expect(stats.count).toBe(2);
    await lease.release();
  });

  it("goes on with its connections in the next generation, unless how to connect has changed", async () => {
    const kept = new KeepStore();
    const [first, second, third] = [kept.lease(), kept.lease(), kept.lease()];
    const stats = new DurationStats();
    const create = (lease: typeof first, parts: object) => {
      const config = upstreamConfig({ targets: ["http://127.0.0.1:9"], ...parts });
      return createUpstream("a", config, lease.keep.bind(lease), stats).targets[0] as unknown as {
        pool: object;
      };
    };
    const one = create(first, {});
    expect(create(second, {}).pool).toBe(one.pool);
    expect(create(third, { connections: 3 }).pool).not.toBe(one.pool);
    for (const lease of [first, second, third]) await lease.release();
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
    const lease = new KeepStore().lease();
    const config = upstreamConfig({ targets: [server.url], connections: 1, timeouts: { connect: "10s" } });
    const [target] = createUpstream("a", config, lease.keep.bind(lease), new DurationStats()).targets;
    await Promise.all([1, 2, 3].map(async () => bodyText(await target!.forward(exchange()))));
    expect(most).toBe(1);
    await lease.release();
  });
});
