/** Signed requests with nonces at two gateways that share a real Redis: each is let in once, by one of them, or by nobody. */
import { expect, it } from "vitest";
import { createGateway, type Gateway } from "../../core/embed.ts";
import { readSecret } from "../../core/http-signatures/algorithms.ts";
import { startRedis } from "../support/redis.ts";
import { signed } from "../support/signed.ts";
import { startUpstream } from "../support/upstream.ts";

const SECRET = Buffer.alloc(32, "partner").toString("base64");

const config = (upstream: string, redis: string): object => ({
  apiVersion: "sluice/v1",
  listeners: [{ address: "127.0.0.1:0" }],
  threads: 1,
  stores: { nonces: { type: "redis", url: redis, timeout: "2s" } },
  upstreams: { api: { targets: [upstream] } },
  consumers: [{ name: "partner", credentials: [{ keyId: "partner", hmacSecret: SECRET }] }],
  routes: [
    {
      name: "api",
      match: { path: "/*" },
      pipeline: [
        {
          plugin: "auth",
          // The authority is each gateway's own.
          methods: [{ signature: { requireNonce: true, store: "nonces", required: ["@method", "@path"] } }],
        },
      ],
      upstream: "api",
    },
  ],
});

/** A signed request with a nonce, as headers. */
function headersOf(nonce: string): Record<string, string> {
  const parameters = { created: Math.floor(Date.now() / 1000), keyid: "partner", nonce };
  const components = ["@method", "@path"];
  const { headers } = signed({ target: "/a" }, { key: readSecret(SECRET), components, parameters });
  return Object.fromEntries(headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1]!]] : [])));
}

async function ask({ urls }: Gateway, headers: Record<string, string>): Promise<string> {
  const reply = await fetch(`${urls[0]}/a`, { headers });
  const text = await reply.text();
  return reply.status === 200 ? "in" : (JSON.parse(text) as { code: string }).code;
}

it("lets a nonce in once at all gateways of a store, nobody while the store is away, and goes on when it is back", async () => {
  await using redis = await startRedis();
  await using upstream = await startUpstream();
  const logTo = { write() {} };
  const one = await createGateway(config(upstream.url, redis.url), { logTo });
  const other = await createGateway(config(upstream.url, redis.url), { logTo });
  try {
    const first = headersOf("first");
    expect(await ask(one, first)).toBe("in");
    expect(await ask(other, first)).toBe("UNAUTHENTICATED");
    expect(await ask(one, first)).toBe("UNAUTHENTICATED");
    // At the same time at both.
    const contested = headersOf("contested");
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, i) => ask(i % 2 === 0 ? one : other, contested)),
    );
    expect(results.filter((result) => result === "in")).toHaveLength(1);
    // Redis forgets them itself, not before they are of no use: 5 minutes, and 30 seconds twice for the clocks.
    const [key = ""] = (await redis.ask("keys", "*nonce*")).split("\n");
    const ttl = Number(await redis.ask("ttl", key));
    expect(ttl).toBeGreaterThan(350);
    expect(ttl).toBeLessThanOrEqual(361);

    await redis.kill();
    const seen = upstream.seen.length;
    for (const gateway of [one, other]) {
      expect(await ask(gateway, headersOf("while it is away"))).toBe("STORE_UNAVAILABLE");
      expect(await ask(gateway, first)).toBe("STORE_UNAVAILABLE");
    }
    expect(upstream.seen).toHaveLength(seen);

    await redis.start();
    let tries = 0;
    await expect.poll(() => ask(one, headersOf(`back ${tries++}`))).toBe("in");
    await expect.poll(() => ask(other, headersOf(`other ${tries++}`))).toBe("in");
    const again = headersOf("again");
    expect(await ask(one, again)).toBe("in");
    expect(await ask(other, again)).toBe("UNAUTHENTICATED");

    // A machine that hangs: its connections are there, and nothing comes.
    redis.freeze();
    expect(await ask(one, headersOf("hangs"))).toBe("STORE_UNAVAILABLE");
    redis.thaw();
  } finally {
    await Promise.all([one.stop(), other.stop()]);
  }
});
