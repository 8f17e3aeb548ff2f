import { describe, expect, it } from "vitest";
import type { CheckedConfig, RouteConfig } from "../../core/config/checked.ts";
import { ConfigError, GatewayError } from "../../core/errors.ts";
import type { Exchange } from "../../core/exchange.ts";
import type { Generation } from "../../core/generation.ts";
import { type Host, type Plugin, textReply } from "../../core/plugin.ts";
import { balance } from "../../plugins/balance.ts";
import { buildWithUpstreams, catalogueOf, checked, fakePlugin, surroundings } from "../support/generation.ts";
import { bodyText, exchange, type RequestInit } from "../support/harness.ts";

/** Answers with the path to send upstream and the params. */
const echo = fakePlugin("echo", () => () => (x) => textReply(200, `${x.path} ${JSON.stringify(x.params)}`), {
  terminal: true,
});

async function build(
  routes: object[],
  plugins: Plugin[] = [],
  parts: object = {},
  change: (config: CheckedConfig) => void = () => {},
) {
  const catalogue = catalogueOf(echo, balance, ...plugins);
  const around = surroundings(catalogue);
  const config = await checked({ routes, ...parts }, catalogue);
  change(config);
  return { around, generation: await buildWithUpstreams(1, config, around) };
}

const route = (name: string, parts: object = {}): object => ({
  name,
  match: { path: `/${name}/*` },
  pipeline: [{ plugin: "echo" }],
  ...parts,
});

/** Runs an exchange on a generation as a server would. */
async function run(generation: Generation, request: RequestInit = {}): Promise<[number, string, Exchange]> {
  const x = exchange(request);
  try {
    const reply = await generation.handle(x);
    return [reply.status, await bodyText(reply), x];
  } finally {
    x.owner?.end();
  }
}

describe("building a generation", () => {
  it("gives every stage its host", async () => {
    const hosts: Host[] = [];
    const spy = fakePlugin("spy", (_options, host) => {
      hosts.push(host);
      return (next) => next;
    });
    const { around } = await build(
      [{ ...route("a"), pipeline: [{ plugin: "spy" }, { plugin: "echo" }] }],
      [spy],
      {
        upstreams: { users: { targets: ["http://127.0.0.1:9"] } },
      },
    );
    const [host] = hosts;
    expect(host).toMatchObject({
      route: "a",
      stage: "spy",
      clock: around.clock,
      baseDir: process.cwd(),
    });
    expect([...host!.upstreams.keys()]).toEqual(["users"]);
  });

  it("tells stages of one name in a route apart", async () => {
    const stages: string[] = [];
    const spy = fakePlugin("spy", (_options, host) => {
      stages.push(`${host.route} ${host.stage}`);
      return (next) => next;
    });
    const pipeline = [{ plugin: "spy" }, { plugin: "spy", name: "x" }, { plugin: "spy" }, { plugin: "echo" }];
    await build(
      [
        { ...route("a"), pipeline },
        { ...route("b"), pipeline },
      ],
      [spy],
    );
    expect(stages).toEqual(["a spy", "a x", "a spy#2", "b spy", "b x", "b spy#2"]);
  });

  it("tells stages' kept values apart from the gateway's own, and closes them with the last generation", async () => {
    let closed = 0;
    const keeper = fakePlugin("keeper", (_options, host) => {
      host.keep("k", () => ({ close: () => void closed++ }));
      return (next) => next;
    });
    const { around, generation } = await build(
      [{ ...route("a"), pipeline: [{ plugin: "keeper" }, { plugin: "echo" }] }],
      [keeper],
    );
    expect(around.kept.keys()).toEqual(["stage k"]);
    const second = await buildWithUpstreams(2, generation.config, around);
    await generation.retire(0);
    expect(closed).toBe(0);
    await second.retire(0);
    expect([closed, around.kept.keys()]).toEqual([1, []]);
  });

  /** Opens something, and fails if its id says so. */
  function opener(trace: string[]): Plugin {
    return fakePlugin("opener", async ({ id }, host) => {
      trace.push(`open ${id}`);
      host.onClose(() => void trace.push(`close ${id}`));
      host.keep(`kept ${id}`, () => ({ close: () => void trace.push(`drop ${id}`) }));
      await Promise.resolve();
      if (String(id).startsWith("bad")) throw new ConfigError(`${id} is bad`, "/id");
      return (next) => next;
    });
  }
  const opening = (...ids: string[]): object[] => [
    ...ids.map((id) => ({ plugin: "opener", id })),
    { plugin: "echo" },
  ];

  it("closes what was opened, in reverse order, when a stage fails half-way", async () => {
    const trace: string[] = [];
    const routes = [{ ...route("a"), pipeline: opening("1", "bad", "2") }];
    await expect(build(routes, [opener(trace)])).rejects.toBeInstanceOf(ConfigError);
    expect(trace).toEqual([
      "open 1",
      "open bad",
      "open 2",
      "close 2",
      "close bad",
      "close 1",
      "drop 1",
      "drop bad",
      "drop 2",
    ]);
  });

  it("closes in reverse order when it is retired, also past what fails to close", async () => {
    const trace: string[] = [];
    const failing = fakePlugin("failing", (_options, host) => {
      host.onClose(() => Promise.reject(new Error("cannot close")));
      return (next) => next;
    });
    const pipeline = [{ plugin: "opener", id: "1" }, { plugin: "failing" }, ...opening("2")];
    const { generation, around } = await build([{ ...route("a"), pipeline }], [opener(trace), failing]);
    trace.length = 0;
    await generation.retire(0);
    expect(trace).toEqual(["close 2", "close 1", "drop 1", "drop 2"]);
    expect(around.log.lines).toMatchObject([{ level: "error", message: "a stage failed to close" }]);
  });

  async function problemsOf(...args: Parameters<typeof build>): Promise<string[]> {
    const error: unknown = await build(...args).then(
      () => undefined,
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).problems.map(
      ({ code, pointer, message }) => `${code} ${pointer} ${message}`,
    );
  }

  it("tells every problem of every stage and route, each where it is written", async () => {
    const oops = fakePlugin("oops", () => {
      throw new TypeError("no such thing");
    });
    const uncomposed = fakePlugin("uncomposed", () => () => {
      throw new TypeError("not here");
    });
    const many = fakePlugin("many", () => {
      throw new ConfigError([
        { code: "CONFIG_REGEX", message: "first", pointer: "/a/0" },
        { code: "CONFIG_OPTION_INVALID", message: "second", pointer: "/b" },
      ]);
    });
    const routes = [
      { ...route("a"), pipeline: [{ plugin: "oops" }, ...opening("bad")] },
      { ...route("b"), pipeline: [{ plugin: "many" }, { use: "shared" }], rewrite: "/{nope.nope}" },
      { ...route("c"), pipeline: [{ plugin: "uncomposed" }, { use: "shared" }] },
      { ...route("d"), match: { path: "/d" } },
      { ...route("e"), match: { path: "/d" } },
    ];
    const parts = { pipelines: { shared: { stages: opening("bad2") } } };
    // Loading refuses these two itself, but a configuration may come from elsewhere.
    const change = ({ routes: [a, , c] }: CheckedConfig): void => {
      a!.stages[0]!.when = { path: "/x*" };
      c!.match.path = "/c*";
    };
    const problems = await problemsOf(routes, [oops, many, uncomposed, opener([])], parts, change);
    expect(problems.map((problem) => problem.split("; known are")[0])).toEqual([
      expect.stringMatching(/^CONFIG_PATTERN \/routes\/0\/pipeline\/0\/when\/path `\*` must/),
      'CONFIG_OPTION_INVALID /routes/0/pipeline/0 The plugin "oops" could not be built: no such thing',
      "CONFIG_OPTION_INVALID /routes/0/pipeline/1/id bad is bad",
      "CONFIG_REGEX /routes/1/pipeline/0/a/0 first",
      "CONFIG_OPTION_INVALID /routes/1/pipeline/0/b second",
      "CONFIG_OPTION_INVALID /pipelines/shared/stages/0/id bad2 is bad",
      "CONFIG_OPTION_INVALID /routes/1/rewrite The template variable {nope.nope} is not known",
      "CONFIG_OPTION_INVALID /pipelines/shared/stages/0/id bad2 is bad",
      "CONFIG_OPTION_INVALID /routes/2/pipeline The stages could not be composed: not here",
      expect.stringMatching(/^CONFIG_PATTERN \/routes\/2\/match\/path /),
      expect.stringMatching(/^CONFIG_ROUTE_CONFLICT \/routes\/4\/match /),
    ]);
  });

  it.each<[string, object, string]>([
    ["rewrite and stripPrefix", { rewrite: "/a", stripPrefix: true }, "/stripPrefix"],
    ["stripPrefix without a prefix", { match: { path: "/a" }, stripPrefix: true }, "/stripPrefix"],
    ["stripPrefix of a prefix with params", { match: { path: "/:a/*" }, stripPrefix: true }, "/stripPrefix"],
    [
      "stripPrefix of several paths",
      { match: { path: ["/a/*", "/b/*"] }, stripPrefix: true },
      "/stripPrefix",
    ],
    [
      "stripPrefix of an expression",
      { match: { path: { regex: "^/a" } }, stripPrefix: true },
      "/stripPrefix",
    ],
    ["an unclosed rewrite", { rewrite: "/{" }, "/rewrite"],
  ])("refuses %s", async (_what, parts, pointer) => {
    const problems = await problemsOf([route("a", parts)], []);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(new RegExp(`^CONFIG_OPTION_INVALID /routes/0${pointer} `));
  });
});

describe("a generation", () => {
  it("runs the pipeline of the route that matches", async () => {
    const { generation } = await build([route("a"), route("b")]);
    const [status, text, x] = await run(generation, { target: "/b/x" });
    expect([status, text]).toEqual([200, '/b/x {"*":"x"}']);
    expect(x.route.name).toBe("b");
  });

  it("answers 404 where no route matches, and 405 with Allow where only the method does not", async () => {
    const { generation } = await build([route("a", { match: { path: "/a", methods: ["GET", "PUT"] } })]);
    const x = exchange({ target: "/x" });
    const reply = await generation.handle(x);
    expect([reply.status, reply.errorCode, x.route.name]).toEqual([404, "ROUTE_NOT_FOUND", ""]);
    expect(JSON.parse(await bodyText(reply))).toMatchObject({ code: "ROUTE_NOT_FOUND", requestId: x.id });
    const other = await generation.handle(exchange({ method: "POST", target: "/a" }));
    expect([other.status, other.headers.get("allow")]).toEqual([405, "GET, HEAD, PUT"]);
  });

  it("knows which routes answer preflights", async () => {
    const cors = fakePlugin("cors", () => () => () => textReply(204, ""), { answersPreflight: true });
    const match = { path: "/a", methods: ["PUT"] };
    const { generation } = await build(
      [route("a", { match, pipeline: [{ plugin: "cors" }, { plugin: "echo" }] })],
      [cors],
    );
    const headers = { origin: "https://a.test", "access-control-request-method": "PUT" };
    expect((await run(generation, { method: "OPTIONS", target: "/a", headers }))[0]).toBe(204);
    expect((await run(generation, { method: "OPTIONS", target: "/a" }))[0]).toBe(405);
  });

  it("has a route's limit on the body come before the listener's", async () => {
    const { generation } = await build([route("a", { limits: { bodySize: "4B" } }), route("b")]);
    const init = { maxBodyBytes: 6 };
    const size = (target: string, body: string) => run(generation, { method: "POST", target, body, init });
    expect((await size("/a", "1234"))[2].maxBodyBytes).toBe(4);
    await expect(size("/a", "12345")).rejects.toMatchObject({ code: "BODY_TOO_LARGE" });
    expect((await size("/b", "123456"))[2].maxBodyBytes).toBe(6);
    await expect(size("/b", "1234567")).rejects.toMatchObject({ code: "BODY_TOO_LARGE" });
    expect((await run(generation, { target: "/a", init }))[0]).toBe(200);
  });

  it("counts stages' time where that is asked for", async () => {
    const { generation, around } = await build([route("a")], [], { log: { stageTimings: true } });
    const [, , x] = await run(generation, { target: "/a" });
    expect([...x.timings!.keys()]).toEqual(["echo"]);
    const { text } = await around.metrics.render();
    expect(text).toContain('sluice_stage_duration_seconds_count{route="a",stage="echo"} 1');
    const off = await build([route("a")]);
    expect((await run(off.generation, { target: "/a" }))[2].timings).toBeUndefined();
  });

  it("has its counts by route, also for requests without one", async () => {
    const { generation, around } = await build([route("a")]);
    expect((await run(generation, { target: "/a" }))[2].route.stats).toBe(around.metrics.route("a"));
    expect((await run(generation, { target: "/x" }))[2].route.stats).toBe(around.metrics.route(""));
  });
});

describe("the path that goes upstream", () => {
  it.each<[string, Partial<RouteConfig> | object, string, string]>([
    ["is the client's, as it came", {}, "/a//b%2fc/", "/a//b%2fc/"],
    ["loses the route's prefix", { stripPrefix: true }, "/a/b/c", "/b/c"],
    [
      "loses the route's prefix, with slashes as patterns see them",
      { stripPrefix: true },
      "//a//b%2fc",
      "/b%2fc",
    ],
    ["is / when the prefix is all there is", { stripPrefix: true }, "/a", "/"],
    ["is / when the prefix and a slash is all there is", { stripPrefix: true }, "/a/", "/"],
    ["loses a given prefix", { stripPrefix: "/a/b" }, "/a/b/c", "/c"],
    ["loses a given prefix with a slash at its end", { stripPrefix: "/a/" }, "/a/c", "/c"],
    ["loses a given prefix that is all there is", { stripPrefix: "/a" }, "/a", "/"],
    ["keeps what only begins like the given prefix", { stripPrefix: "/a/b" }, "/a/bc", "/a/bc"],
    [
      "is rewritten with params, encoded again",
      { match: { path: "/a/:id" }, rewrite: "/v2/{id}/x" },
      "/a/%2F%20b",
      "/v2/%2F%20b/x",
    ],
    ["is rewritten with the rest in wire form", { rewrite: "/v2/{*}" }, "/a/b%20c/d", "/v2/b%20c/d"],
    [
      "is rewritten with named groups",
      { match: { path: { regex: "^/a/(?<id>.*)$" } }, rewrite: "/v2/{id}" },
      "/a/b%20c",
      "/v2/b%20c",
    ],
    ["is rewritten to a constant", { rewrite: "/x" }, "/a", "/x"],
  ])("%s", async (_what, parts, target, path) => {
    const { generation } = await build([route("a", parts)]);
    const [, text, x] = await run(generation, { target: `${target}?q=1` });
    expect(text.split(" ")[0]).toBe(path);
    expect([x.originalPath, x.search]).toEqual([target, "?q=1"]);
  });

  it("is refused when a rewrite makes something else of it", async () => {
    const dots = await build([route("a", { match: { path: "/a" }, rewrite: "/{request.query.d}/b" })]);
    await expect(run(dots.generation, { target: "/a?d=.." })).rejects.toMatchObject({
      code: "REQUEST_TARGET_INVALID",
    });
  });
});

describe("retiring a generation", () => {
  function held() {
    let closed = false;
    const plugin = fakePlugin(
      "held",
      (_options, host) => {
        host.onClose(() => void (closed = true));
        return () => async () => {
          await Promise.resolve();
          return textReply(200, "");
        };
      },
      { terminal: true },
    );
    return { plugin, isClosed: () => closed };
  }

  it("closes it at once when nothing is under way", async () => {
    const { plugin, isClosed } = held();
    const { generation } = await build([route("a", { pipeline: [{ plugin: "held" }] })], [plugin]);
    expect(await generation.retire(60_000)).toBe(0);
    expect(isClosed()).toBe(true);
  });

  it("waits for requests that began on it, also those without a route and those that failed", async () => {
    const { plugin, isClosed } = held();
    const pipeline = [{ plugin: "held" }];
    const { generation } = await build([route("a", { pipeline, limits: { bodySize: "1B" } })], [plugin]);
    const all = [
      exchange({ target: "/a" }),
      exchange({ target: "/x" }),
      exchange({ target: "/a", body: "123" }),
    ];
    await generation.handle(all[0]!);
    await generation.handle(all[1]!);
    expect(() => generation.handle(all[2]!)).toThrow(GatewayError);
    expect(generation.active).toBe(3);
    let left: number | undefined;
    const retiring = generation.retire(60_000).then((n) => (left = n));
    for (const x of all) {
      await new Promise((resolve) => setImmediate(resolve));
      expect([left, isClosed()]).toEqual([undefined, false]);
      x.owner!.end();
    }
    await retiring;
    expect([left, isClosed()]).toEqual([0, true]);
  });

  it("closes it after the drain timeout, and says how many requests were left", async () => {
    const { plugin, isClosed } = held();
    const { generation } = await build([route("a", { pipeline: [{ plugin: "held" }] })], [plugin]);
    const x = exchange({ target: "/a" });
    await generation.handle(x);
    await generation.handle(exchange({ target: "/a" }));
    expect(await generation.retire(5)).toBe(2);
    expect(isClosed()).toBe(true);
    x.owner!.end(); // the request ends late: nothing more happens
    expect(generation.active).toBe(1);
  });
});
