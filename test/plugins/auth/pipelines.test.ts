/** Whole gateways in memory with random pipelines: whatever else is in them, nobody gets past `auth` without a credential. */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { createTestGateway, type TestGateway } from "../../../core/testing/test-gateway.ts";
import { TempFolder } from "../../core/config/temp-folder.ts";
import {
  assemble,
  CONSUMERS,
  type Draft,
  judge,
  type Kind,
  KINDS,
  methodOf,
  NOW,
  OPAQUE_TOKEN,
  type Part,
  PARTS,
  SESSION,
} from "../../support/credentials.ts";
import { type FakeOAuthServer, startOAuthServer } from "../../support/oauth-server.ts";
import { anyEnd, anyStage, type StageSpec, UPSTREAMS } from "../../support/random-stages.ts";
import { startUpstream, type TestUpstream } from "../../support/upstream.ts";

let oauth: FakeOAuthServer;
let checker: TestUpstream;
/** Has no plugins in it. */
let folder: TempFolder;

beforeAll(async () => {
  folder = new TempFolder();
  oauth = await startOAuthServer();
  oauth.answer = ({ form }) => {
    if (form["grant_type"] !== undefined)
      return { access_token: OPAQUE_TOKEN, token_type: "bearer", expires_in: 60 };
    return form["token"] === OPAQUE_TOKEN ? { active: true, sub: "of-introspection" } : { active: false };
  };
  checker = await startUpstream((request, response) => {
    if (request.headers["x-session"] !== SESSION) return void response.writeHead(401).end();
    response.writeHead(200, { "x-consumer-name": "of-forward" }).end();
  });
});
afterAll(async () => {
  await oauth.close();
  await checker.close();
  folder.remove();
});
// Stages that fail on purpose are told of there.
beforeEach(() => void vi.spyOn(process.stderr, "write").mockReturnValue(true));

const methodsOf = (kinds: readonly Kind[]): unknown[] =>
  kinds.map((kind) => methodOf(kind, { oauth: `${oauth.url}/introspect`, checker: checker.url }));

function open(pipeline: readonly object[], isNamed = false): Promise<TestGateway> {
  return createTestGateway(
    {
      // Only the word of proxies counts for certificates.
      listeners: [{ address: "127.0.0.1:0", trustedProxies: ["127.0.0.1"] }],
      pluginsDir: folder.path,
      upstreams: Object.fromEntries(UPSTREAMS.map((name) => [name, { targets: [`http://${name}.test`] }])),
      consumers: CONSUMERS,
      ...(isNamed ? { pipelines: { named: { stages: pipeline } } } : {}),
      routes: [{ name: "all", match: { path: "/*" }, pipeline: isNamed ? [{ use: "named" }] : pipeline }],
    },
    { now: NOW },
  );
}

it("tells right from wrong credentials of every kind", async () => {
  for (const kind of KINDS) {
    const stage = { plugin: "auth", methods: methodsOf([kind]), identityHeaders: true };
    const gw = await open([stage, { plugin: "balance", upstream: "api" }]);
    for (const part of PARTS) {
      const { target, init } = assemble({ method: "GET", target: "/a?q=1", headers: {} }, [part]);
      const before = gw.upstream("api").requests.length;
      const { status } = await gw.fetch(target, init);
      const isLetIn = part.kind === kind && part.isValid;
      expect([part.label, status]).toEqual([part.label, isLetIn ? 200 : 401]);
      expect(gw.upstream("api").requests).toHaveLength(before + (isLetIn ? 1 : 0));
      if (isLetIn) expect(gw.upstream("api").last?.headers["x-consumer-name"]).toBe(`of-${kind}`);
    }
    await gw.close();
  }
});

/** A stage that finds out who asks, and for which requests. */
interface Guard {
  readonly kinds: readonly Kind[];
  readonly optional: boolean;
  readonly when: "always" | "private" | "post";
}

interface Sent {
  readonly draft: Omit<Draft, "headers">;
  readonly parts: readonly Part[];
}

interface Case {
  readonly guards: readonly Guard[];
  readonly stages: readonly StageSpec[];
  readonly end: StageSpec;
  /** Where the guards go among the stages. */
  readonly places: readonly number[];
  /** Whether stages that must not stand above a guard are left there. */
  readonly isCareless: boolean;
  readonly isNamed: boolean;
  /** What guards give those whom they refuse. */
  readonly onError: object | "fail";
  readonly upstreamFails: readonly ("connect" | "reset" | 503 | 200)[];
  readonly sent: readonly Sent[];
}

const anyKinds = fc.shuffledSubarray([...KINDS], { minLength: 1, maxLength: 3 });
const anyGuards = fc
  .tuple(
    anyKinds,
    fc.array(
      fc.record({
        optional: fc.boolean(),
        when: fc.constantFrom("always" as const, "private" as const, "post" as const),
      }),
      { maxLength: 1 },
    ),
    fc.shuffledSubarray([...KINDS], { minLength: 1, maxLength: 2 }),
    fc.boolean(),
  )
  .map(([kinds, more, others, isFirst]): Guard[] => {
    // What one has taken out of a request, another does not find.
    const left = others.filter((kind) => !kinds.includes(kind));
    const required: Guard = { kinds, optional: false, when: "always" };
    const second = left.length === 0 ? [] : more.map((each): Guard => ({ kinds: left, ...each }));
    return isFirst ? [required, ...second] : [...second, required];
  });

/** Paths, and whether they are below /private. */
const PATHS: ReadonlyMap<string, boolean> = new Map([
  ["/private/a", true],
  ["/%70rivate/a", true],
  ["/private/%2561", true],
  ["/private/a?b=canary", true],
  ["/public", false],
  ["/x/private?old=1", false],
  ["/a;private/b?q=%00", false],
  ["/PRIVATE/a?b=shadow&b=api", false],
]);

/** Mostly what the guards look for, and mostly right: else next to nothing would be let in. */
function anySent(guards: readonly Guard[]): fc.Arbitrary<Sent> {
  const valid = PARTS.filter(({ isValid }) => isValid);
  const meant = valid.filter(({ kind }) => guards.some(({ kinds }) => kinds.includes(kind)));
  const part = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...meant) }, fc.constantFrom(...valid), {
    weight: 2,
    arbitrary: fc.constantFrom(...PARTS),
  });
  return fc.record({
    draft: fc.record({
      method: fc.constantFrom("GET", "POST", "HEAD", "OPTIONS", "DELETE"),
      target: fc.constantFrom(...PATHS.keys()),
    }),
    parts: fc.uniqueArray(part, { maxLength: 3 }),
  });
}

const anyCase = (tokenUrl: string): fc.Arbitrary<Case> =>
  anyGuards.chain((guards) =>
    fc.record({
      guards: fc.constant(guards),
      stages: fc.array(anyStage(tokenUrl), { maxLength: 5 }),
      end: anyEnd(tokenUrl),
      places: fc.array(fc.nat(5), { minLength: 2, maxLength: 2 }),
      isCareless: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
      isNamed: fc.boolean(),
      onError: fc.constantFrom("fail" as const, { status: 200 }, { status: 503 }),
      upstreamFails: fc.array(
        fc.constantFrom("connect" as const, "reset" as const, 503 as const, 200 as const),
        {
          maxLength: 8,
        },
      ),
      sent: fc.array(anySent(guards), { minLength: 1, maxLength: 12 }),
    }),
  );

/** What must not stand above `auth`, by the documentation. */
const isForKnown = ({ plugin, fallback }: StageSpec): boolean =>
  ["cache", "coalesce", "mirror", "oauth2-client"].includes(plugin) ||
  (plugin === "breaker" && fallback !== undefined && "upstream" in (fallback as object));

const IDENTIFYING = ["auth", "oidc-login"];

const WHEN = { always: {}, private: { when: { path: "/private/*" } }, post: { when: { method: "POST" } } };

/** The pipeline, and whether it may be built. */
function lay({ guards, stages, end, places, isCareless, onError }: Case): {
  pipeline: StageSpec[];
  isSound: boolean;
} {
  const pipeline = [...stages];
  const cuts = places.map((place) => Math.min(place, stages.length)).sort((a, b) => a - b);
  const built = guards.map(({ kinds, optional, when }): StageSpec => {
    return {
      plugin: "auth",
      methods: methodsOf(kinds),
      optional,
      onError,
      identityHeaders: true,
      ...WHEN[when],
    };
  });
  for (const [i, guard] of [...built.entries()].reverse()) pipeline.splice(cuts[i]!, 0, guard);
  const lastAuth = pipeline.findLastIndex(({ plugin }) => IDENTIFYING.includes(plugin));
  const last = pipeline.findLastIndex(({ plugin }) => [...IDENTIFYING, "authorize", "ip"].includes(plugin));
  const firstAuth = pipeline.findIndex(({ plugin }) => IDENTIFYING.includes(plugin));
  const isEarly = (stage: StageSpec, i: number): boolean =>
    (isForKnown(stage) && i < (stage.plugin === "oauth2-client" ? lastAuth : last)) ||
    (HAS_KEY_OF_CONSUMER.test(JSON.stringify(stage)) && i < firstAuth);
  if (isCareless) return { pipeline: [...pipeline, end], isSound: !pipeline.some(isEarly) };
  const [late, rest] = [pipeline.filter(isEarly), pipeline.filter((stage, i) => !isEarly(stage, i))];
  return { pipeline: [...rest, ...late, end], isSound: true };
}

/** `by: consumer` and the like: refused above the first stage that says who asks. */
const HAS_KEY_OF_CONSUMER = /[:[,]"consumer"(?!:)/;

const isInAuthorization = (kind: Kind): boolean => kind === "basic" || kind === "jwt";

/** Who may reach an upstream with it; undefined for nobody. */
function admitted(guards: readonly Guard[], { draft, parts }: Sent): string | undefined {
  let name = "";
  let left = parts;
  for (const { kinds, optional, when } of guards) {
    if (
      (when === "private" && PATHS.get(draft.target) === false) ||
      (when === "post" && draft.method !== "POST")
    )
      continue;
    const found = judge(kinds, left);
    if (found === undefined || (found === "" && !optional)) return undefined;
    if (found === "") continue;
    name = found;
    // Whoever let it in has taken out what its methods look at: several lines, whatever they have.
    const isAmbiguous = left.filter(({ kind }) => isInAuthorization(kind)).length > 1;
    const taken = isAmbiguous && kinds.some(isInAuthorization) ? [...kinds, "basic", "jwt"] : kinds;
    left = left.filter(({ kind }) => !taken.includes(kind));
  }
  return name;
}

it("lets nothing reach an upstream without a valid credential, in any pipeline", async () => {
  const tally = { refusedConfigs: 0, letIn: 0, kept: 0 };
  await fc.assert(
    fc.asyncProperty(anyCase(`${oauth.url}/token`), async (each) => {
      const { pipeline, isSound } = lay(each);
      let gw: TestGateway;
      try {
        gw = await open(pipeline, each.isNamed);
      } catch (error) {
        expect((error as Error).message).toMatch(/CONFIG_(BEFORE_AUTH|NOBODY_KNOWN)/);
        expect((error as Error).message).not.toMatch(/CONFIG_(?!BEFORE_AUTH|NOBODY_KNOWN)/);
        expect(isSound).toBe(false);
        tally.refusedConfigs++;
        return;
      }
      expect(isSound).toBe(true);
      for (const name of UPSTREAMS) {
        for (const answer of each.upstreamFails) {
          if (typeof answer === "string") gw.upstream(name).failOnce(answer);
          else gw.upstream(name).replyOnce({ status: answer, body: "x".repeat(2000) });
        }
      }
      const ask = async (one: Sent, i: number): Promise<void> => {
        const { target, init } = assemble(
          { ...one.draft, headers: { "x-case": [String(i)], "x-a": ["1"] } },
          one.parts,
        );
        await gw.fetch(target, init);
      };
      const half = Math.ceil(each.sent.length / 2);
      for (const [i, one] of each.sent.slice(0, half).entries()) await ask(one, i);
      gw.clock.advance(1000);
      await Promise.all(each.sent.slice(half).map((one, i) => ask(one, half + i)));
      await gw.close();
      // Scripts and edits may tell the upstream what they like.
      const saysWho = pipeline.some(({ plugin }) => plugin === "script" || plugin === "transform");
      const reached = UPSTREAMS.flatMap((name) => gw.upstream(name).requests);
      for (const { headers } of reached) {
        const one = each.sent[Number(headers["x-case"])]!;
        const name = admitted(each.guards, one);
        expect(name).toBeDefined();
        if (!saysWho) expect(headers["x-consumer-name"] ?? "").toBe(name);
      }
      const lucky = new Set(reached.map(({ headers }) => headers["x-case"]));
      tally.letIn += lucky.size;
      tally.kept += each.sent.length - lucky.size;
    }),
    { numRuns: 200 },
  );
  expect(Math.min(tally.letIn, tally.kept)).toBeGreaterThan(100);
});
