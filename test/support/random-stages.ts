/** Stages of all built-in plugins with random options, in random orders, for tests of whole pipelines. */
import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { catalogue } from "../../plugins/index.ts";

/** Upstreams that stages may send to. All are there. */
export const UPSTREAMS = ["api", "canary", "shadow", "reserve"] as const;

export interface StageSpec {
  readonly plugin: string;
  readonly [option: string]: unknown;
}

/** Options by plugin; `undefined` for those that say who asks, and for what has no upstream below it. */
type Table = Readonly<Record<string, fc.Arbitrary<object> | undefined>>;

const upstream = fc.constantFrom(...UPSTREAMS);
const key = fc.constantFrom("ip", "consumer", "path", { header: "x-a" }, { query: "q" }, "{request.method}");
const flag = fc.boolean();
const pick = (...values: unknown[]): fc.Arbitrary<object> => fc.constantFrom(...(values as object[]));
const some = (model: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<object> =>
  fc.record(model, { requiredKeys: [] });

const ISSUER_KEY = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" });

/** @param tokenUrl gives tokens to `oauth2-client` */
const tableOf = (tokenUrl: string): Table => ({
  auth: undefined,
  "oidc-login": fc.record({
    issuer: fc.constant(new URL(tokenUrl).origin),
    clientId: fc.constant("g"),
    clientSecret: fc.constant("s"),
    secret: fc.constant("a secret of at least 32 characters"),
    callbackPath: fc.constant("/x/callback"),
    logoutPath: fc.constant("/x/logout"),
    unauthenticated: pick("login", "deny"),
    when: fc.constant({ path: "/x/*" }),
  }),
  "token-issuer": fc.constant({ issuer: "i", audience: "a", key: ISSUER_KEY, when: { path: "/x/*" } }),
  balance: fc.record({ upstream, strategy: pick("round-robin", "random", "least-connections") }),
  split: fc.record({
    branches: fc
      .shuffledSubarray([...UPSTREAMS], { minLength: 2 })
      .map((names) =>
        names.map((name, i) => ({ upstream: name, weight: i + 1, when: { query: { b: name } } })),
      ),
    failover: flag,
    by: key,
  }),
  respond: fc.record({
    status: pick(200, 404, 503),
    body: fc.constant("r"),
    when: fc.constant({ path: "/x/*" }),
  }),
  redirect: fc.record({ to: fc.constant("/elsewhere"), when: fc.constant({ query: { old: true } }) }),
  authorize: fc.record({
    allow: pick([{ method: ["GET", "POST"] }], [{ path: "/*" }]),
    deny: pick([], [{ path: "/denied" }]),
  }),
  breaker: some({
    by: fc.oneof(pick("upstream", "target", "route"), key),
    consecutiveFailures: pick(1, 2),
    openFor: pick("10ms", "1h"),
    statuses: pick([503], ["400-599"]),
    fallback: fc.oneof(fc.constant({ body: "sorry" }), fc.record({ upstream })),
    fallbackOn: pick(["open"], ["failure"], ["open", "failure"]),
  }),
  coalesce: fc.constant({}),
  compress: some({ minSize: pick("0B", "1KB") }),
  concurrency: fc.record({
    by: fc.oneof(pick("route", { upstream: "api" }), key),
    max: pick(1, 100),
    queue: pick(0, 9),
  }),
  cors: fc.record({
    origins: pick("*", ["https://a.example"]),
    credentials: fc.constant(false),
  }),
  csrf: fc.record({ origins: fc.constant(["https://a.example"]) }),
  ip: pick({ allow: ["127.0.0.0/8"] }, { deny: ["192.0.2.0/24"] }),
  limit: fc.record({ by: key, rate: pick("5/1h", "1000/1s"), cost: pick(0, 1) }),
  mirror: fc.record({ upstream, percent: pick("50%", "100%") }),
  "oauth2-client": fc.constant({ tokenUrl, clientId: "g", clientSecret: "s" }),
  cache: some({ ttl: pick("1s", "60s"), ignoreCacheControl: flag }),
  "request-id": some({ trust: pick("proxies", "always", "never") }),
  retry: some({
    attempts: pick(2, 4),
    on: pick(["connect", "reset", 503], ["400-599", "unavailable"]),
    methods: pick(["GET", "POST"], ["GET"]),
    backoff: fc.constant({ base: "0ms", max: "0ms" }),
    budget: fc.constant("100%"),
  }),
  script: fc.constant({
    source: `import { definePlugin } from "sluice/plugin";
export default definePlugin({
  request(req) { req.headers.set("x-consumer-name", "root"); req.headers.delete("x-b"); },
  response(res) { res.headers.set("x-script", "1"); },
});`,
  }),
  "security-headers": fc.constant({}),
  sign: fc.constant({ keyId: "gateway", hmacSecret: Buffer.alloc(32, "gateway").toString("base64") }),
  timeout: fc.record({ after: pick("5s", "30s") }),
  transform: fc.record({
    request: pick(
      { headers: { set: { "x-consumer-name": "root", "x-a": "1" }, remove: ["x-b"] } },
      { query: { set: { v: "2" } } },
      { headers: { rename: { "x-b": "x-a" } } },
    ),
    response: pick({}, { headers: { remove: ["x-c"] } }, { status: 200 }),
  }),
  validate: pick(
    { query: { type: "object" } },
    { mode: "report", query: { type: "object", maxProperties: 0 } },
  ),
});

const CONDITIONS = pick(
  { method: ["GET", "POST"] },
  { path: "/private/*" },
  { not: { path: "/private/*" } },
  { header: { "x-a": true } },
  { consumer: true },
  { query: { b: true } },
);

/** Plugins that end a pipeline, of which one does. */
const ENDS = ["balance", "split"];

/** A stage of any plugin but `auth` and those that end a pipeline. */
export function anyStage(tokenUrl: string): fc.Arbitrary<StageSpec> {
  const table = tableOf(tokenUrl);
  const names = [...catalogue.keys()].filter((name) => !ENDS.includes(name));
  const unknown = names.filter((name) => !(name in table));
  if (unknown.length > 0) throw new Error(`there are no random options of ${unknown.join(", ")} here`);
  return fc.constantFrom(...names.filter((name) => table[name] !== undefined)).chain((plugin) => {
    const options = table[plugin]!;
    const isGuard = catalogue.get(plugin)!.guard === true;
    const failing = { status: 503, body: "failed" };
    const onError = isGuard ? pick("fail", failing) : pick("skip", "fail", failing);
    const more = fc.record({ when: fc.option(CONDITIONS, { nil: undefined }), onError });
    return fc.tuple(more, options).map(([{ when, ...rest }, own]) => {
      return { plugin, ...(when === undefined ? {} : { when }), ...rest, ...own };
    });
  });
}

/** What ends a pipeline. */
export function anyEnd(tokenUrl: string): fc.Arbitrary<StageSpec> {
  const table = tableOf(tokenUrl);
  return fc.constantFrom(...ENDS).chain((plugin) => table[plugin]!.map((own) => ({ plugin, ...own })));
}
