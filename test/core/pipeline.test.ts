import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { OnError, StageConfig } from "../../core/config/checked.ts";
import { ConfigError, GatewayError } from "../../core/errors.ts";
import type { Exchange } from "../../core/exchange.ts";
import { compileWhen, composePipeline, locateProblems, type PipelineStage } from "../../core/pipeline.ts";
import type { Handler, Stage } from "../../core/plugin.ts";
import { Reply, textReply } from "../../core/reply.ts";
import { bodyText, exchange, FakeLog } from "../support/harness.ts";

const stage = (stage: Stage, more: Partial<PipelineStage> = {}): PipelineStage => ({
  name: "stage",
  stage,
  when: undefined,
  onError: "fail",
  ...more,
});

/** Ends a pipeline. */
const answer = (text = "below"): PipelineStage => stage(() => () => textReply(200, text));

/** A stage that writes down when it runs. */
const traced = (name: string, trace: string[], more: Partial<PipelineStage> = {}): PipelineStage =>
  stage(
    (next) => async (x) => {
      trace.push(`${name} in`);
      try {
        return await next(x);
      } finally {
        trace.push(`${name} out`);
      }
    },
    { name, ...more },
  );

const run = (stages: PipelineStage[], x: Exchange = exchange()): Promise<Reply> =>
  Promise.resolve().then(() => composePipeline(stages)(x));

describe("a pipeline", () => {
  it("runs its stages from first to last and back", async () => {
    const trace: string[] = [];
    const reply = await run([traced("a", trace), traced("b", trace), traced("c", trace), answer()]);
    expect(await bodyText(reply)).toBe("below");
    expect(trace).toEqual(["a in", "b in", "c in", "c out", "b out", "a out"]);
  });

  it("is bound once, not for every exchange", async () => {
    let bound = 0;
    const handler = composePipeline([
      stage((next) => {
        bound++;
        return next;
      }),
      answer(),
    ]);
    await handler(exchange());
    await handler(exchange());
    expect(bound).toBe(1);
  });

  it("adds nothing around a plain stage", () => {
    const own: Handler = () => new Reply(200);
    expect(composePipeline([stage(() => own)])).toBe(own);
    expect(composePipeline([stage((next) => next), stage(() => own)])).toBe(own);
  });

  it("fails when nobody answers", async () => {
    for (const stages of [[], [stage((next) => next)]]) {
      await expect(run(stages)).rejects.toMatchObject({
        code: "INTERNAL",
        detail: "The pipeline ended without a reply",
      });
    }
  });

  it("stops where a stage answers by itself", async () => {
    const trace: string[] = [];
    const reply = await run([traced("a", trace), answer("early"), traced("b", trace), answer()]);
    expect(await bodyText(reply)).toBe("early");
    expect(trace).toEqual(["a in", "a out"]);
  });
});

describe("a stage with `when`", () => {
  it("is passed by for other requests", async () => {
    const trace: string[] = [];
    const when = (x: Exchange): boolean => x.path === "/on";
    const handler = composePipeline([traced("a", trace, { when }), traced("b", trace), answer()]);
    await handler(exchange({ target: "/off" }));
    expect(trace.splice(0)).toEqual(["b in", "b out"]);
    await handler(exchange({ target: "/on" }));
    expect(trace).toEqual(["a in", "b in", "b out", "a out"]);
  });

  it("is not guarded by its own onError for other requests", async () => {
    const broken = stage(() => () => {
      throw new Error("broken below");
    });
    const guarded = traced("a", [], { when: () => false, onError: { status: 200, body: "" } });
    await expect(run([guarded, broken])).rejects.toThrow("broken below");
  });

  it("is compiled from the configuration, with pointers relative to the stage", () => {
    const config = (when?: StageConfig["when"]): StageConfig => ({
      plugin: "p",
      name: "n",
      onError: "fail",
      options: {},
      pointer: "/routes/0/pipeline/2",
      ...(when && { when }),
    });
    expect(compileWhen(config())).toBeUndefined();
    expect(compileWhen(config({ method: "GET" }))!(exchange())).toBe(true);
    expect(() => compileWhen(config({ path: "/a*" }))).toThrow(
      expect.objectContaining({ problems: [expect.objectContaining({ pointer: "/when/path" })] }),
    );
  });
});

describe("a stage that fails itself", () => {
  const failure = new Error("stage broke");
  /** Calls of what is below. */
  let below = 0;
  const counted = (): PipelineStage =>
    stage(() => () => {
      below++;
      return textReply(200, "below");
    });
  const before = (onError: OnError): PipelineStage =>
    stage(
      () => () => {
        throw failure;
      },
      { onError },
    );
  const after = (onError: OnError): PipelineStage =>
    stage(
      (next) => async (x) => {
        (await next(x)).headers.set("x-seen", "1");
        throw failure;
      },
      { onError },
    );

  it.each<[string, (onError: OnError) => PipelineStage, number]>([
    ["before it called next", before, 0],
    ["after it called next", after, 1],
  ])("%s: `fail` fails the request", async (_when, make, calls) => {
    below = 0;
    await expect(run([make("fail"), counted()])).rejects.toBe(failure);
    expect(below).toBe(calls);
  });

  it.each<[string, (onError: OnError) => PipelineStage]>([
    ["before it called next", before],
    ["after it called next", after],
  ])("%s: `skip` gives the reply of the stages below, which run once", async (_when, make) => {
    below = 0;
    const x = exchange();
    const reply = await run([make("skip"), counted()], x);
    expect(await bodyText(reply)).toBe("below");
    expect(below).toBe(1);
  });

  it.each<[string, (onError: OnError) => PipelineStage, number]>([
    ["before it called next", before, 0],
    ["after it called next", after, 1],
  ])("%s: `{ status, body }` answers with that", async (_when, make, calls) => {
    below = 0;
    const reply = await run([make({ status: 299, body: "sorry" }), counted()]);
    expect([reply.status, await bodyText(reply)]).toEqual([299, "sorry"]);
    expect(below).toBe(calls);
  });

  it("cancels the reply of the stages below when it answers with another", async () => {
    let cancelled = false;
    const body = { length: undefined, start() {}, resume() {}, cancel: () => void (cancelled = true) };
    const source = stage(() => () => {
      const reply = new Reply(200);
      reply.body = body;
      return reply;
    });
    await run([after({ status: 500, body: "" }), source]);
    expect(cancelled).toBe(true);
  });

  it("is logged, with its name", async () => {
    const log = new FakeLog();
    const x = exchange({ init: { log } });
    await run([{ ...before("skip"), name: "mine" }, answer()], x);
    expect(log.lines).toMatchObject([
      { level: "warn", fields: { err: failure, stage: "mine", onError: "skip" } },
    ]);
  });

  it("is skipped also when it fails without a promise, or with nothing", async () => {
    for (const thrown of [failure, undefined]) {
      const odd = stage(() => () => Promise.reject(thrown), { onError: "skip" });
      expect((await run([odd, answer()])).status).toBe(200);
    }
  });

  it("is skipped with the reply that is still to come, when it did not wait for it", async () => {
    const gate = Promise.withResolvers<void>();
    const hasty = stage(
      (next) => (x) => {
        void Promise.resolve(next(x)).catch(() => {});
        throw failure;
      },
      { onError: "skip" },
    );
    const slow = stage(() => async () => {
      await gate.promise;
      return textReply(200, "late");
    });
    const reply = run([hasty, slow]);
    gate.resolve();
    expect(await bodyText(await reply)).toBe("late");
  });

  it("is told apart from others with the same exchange, and from other exchanges", async () => {
    below = 0;
    const bad = stage(
      (next) => async (x) => {
        const reply = await next(x);
        if (x.path === "/bad") throw failure;
        return reply;
      },
      { onError: { status: 299, body: "" } },
    );
    const handler = composePipeline([bad, { ...bad, onError: "skip" }, counted()]);
    const targets = ["/bad", "/good", "/bad", "/good"];
    const replies = await Promise.all(targets.map((target) => handler(exchange({ target }))));
    expect(replies.map(({ status }) => status)).toEqual([299, 200, 299, 200]);
    expect(below).toBe(4);
  });
});

describe("a failure of the stages below", () => {
  const failure = new GatewayError("UPSTREAM_RESET");
  const broken = (calls: unknown[]): PipelineStage =>
    stage(() => (x) => {
      calls.push(x);
      throw failure;
    });

  it.each<OnError>(["fail", "skip", { status: 200, body: "hidden" }])(
    "passes %j unchanged, and happens once",
    async (onError) => {
      const [calls, trace, log]: [unknown[], string[], FakeLog] = [[], [], new FakeLog()];
      const x = exchange({ init: { log } });
      await expect(run([traced("a", trace, { onError }), broken(calls)], x)).rejects.toBe(failure);
      expect(calls).toHaveLength(1);
      expect(trace).toEqual(["a in", "a out"]);
      expect(log.lines).toEqual([]);
    },
  );

  it("passes also when the stage makes another of it", async () => {
    const wrapping = stage(
      (next) => async (x) => {
        try {
          return await next(x);
        } catch {
          throw new Error("mine");
        }
      },
      { onError: "skip" },
    );
    await expect(run([wrapping, broken([])])).rejects.toBe(failure);
  });

  it("of an earlier attempt is not taken for that of this one", async () => {
    const again = stage((next) => async (x) => {
      try {
        return await next(x);
      } catch {
        return next(x);
      }
    });
    let [attempts, answers] = [0, 0];
    const flaky = stage(
      (next) => async (x) => {
        if (++attempts === 2) throw new Error("mine");
        return next(x);
      },
      { onError: "skip" },
    );
    const below = stage(() => () => {
      if (++answers === 1) throw failure;
      return textReply(200, "good");
    });
    expect(await bodyText(await run([again, flaky, below]))).toBe("good");
  });

  it("can be mended by a stage", async () => {
    const mending = stage(
      (next) => async (x) => {
        try {
          return await next(x);
        } catch {
          return textReply(200, "mended");
        }
      },
      { onError: "skip" },
    );
    expect(await bodyText(await run([mending, broken([])]))).toBe("mended");
  });
});

describe("timing", () => {
  let now = 0;
  const spend = (ms: number): void => {
    now += ms;
  };
  beforeEach(() => void vi.spyOn(performance, "now").mockImplementation(() => now));
  afterEach(() => void vi.restoreAllMocks());

  const slow = (
    name: string,
    before: number,
    after: number,
    more: Partial<PipelineStage> = {},
  ): PipelineStage =>
    stage(
      (next) => async (x) => {
        spend(before);
        const reply = await next(x);
        spend(after);
        return reply;
      },
      { name, ...more },
    );

  function timed(stages: PipelineStage[]) {
    const times: [Exchange, string, number][] = [];
    const handler = composePipeline(stages, (x, name, ms) => void times.push([x, name, ms]));
    const of = (x: Exchange): Record<string, number> =>
      Object.fromEntries(times.filter(([y]) => y === x).map(([, name, ms]) => [name, ms]));
    return { handler, times, of };
  }

  it("counts what a stage takes itself, without the stages below", async () => {
    const { handler, of } = timed([slow("a", 4, 4), slow("b", 20, 0), { ...answer(), name: "c" }]);
    const x = exchange();
    expect(await bodyText(await handler(x))).toBe("below");
    expect(of(x)).toEqual({ a: 8, b: 20, c: 0 });
  });

  it("does not count the wait for what is below, with many at once", async () => {
    const gates = [1, 2, 3].map(() => Promise.withResolvers<void>());
    const { handler, times, of } = timed([
      slow("a", 0, 0),
      stage(
        () => async (x) => {
          await gates[Number(x.path.slice(1))]!.promise;
          return textReply(200, "");
        },
        { name: "wait" },
      ),
    ]);
    const all = [0, 1, 2].map((i) => exchange({ target: `/${i}` }));
    const replies = all.map((x) => handler(x));
    spend(20);
    for (const gate of gates.toReversed()) gate.resolve();
    await Promise.all(replies);
    expect(times).toHaveLength(6);
    for (const x of all) {
      expect(of(x)).toEqual({ a: 0, wait: 20 });
    }
  });

  it("counts stages that fail, and those that are skipped", async () => {
    const bad = stage(
      () => () => {
        spend(4);
        throw new Error("x");
      },
      { name: "bad", onError: "skip" },
    );
    const broken = stage(
      () => () => {
        throw new GatewayError("UPSTREAM_RESET");
      },
      { name: "broken" },
    );
    const { handler, of } = timed([bad, broken]);
    const x = exchange();
    await expect(handler(x)).rejects.toMatchObject({ code: "UPSTREAM_RESET" });
    expect(of(x)).toEqual({ bad: 4, broken: 0 });
  });

  it("counts each try of a stage that tries again, on its own", async () => {
    const again = stage(
      (next) => async (x) => {
        await next(x);
        return next(x);
      },
      { name: "again" },
    );
    const { handler, times } = timed([
      again,
      slow("a", 1, 1),
      slow("below", 10, 0),
      { ...answer(), name: "end" },
    ]);
    await handler(exchange());
    expect(times.map(([, name, ms]) => [name, ms])).toEqual([
      ["end", 0],
      ["below", 10],
      ["a", 2],
      ["end", 0],
      ["below", 10],
      ["a", 2],
      ["again", 0],
    ]);
  });

  it("leaves out stages whose condition does not hold", async () => {
    const { handler, times } = timed([slow("a", 0, 0, { when: () => false }), { ...answer(), name: "b" }]);
    await handler(exchange());
    expect(times.map(([, name]) => name)).toEqual(["b"]);
  });
});

describe("problems of a plugin's build", () => {
  const config: StageConfig = {
    plugin: "p",
    name: "n",
    onError: "fail",
    options: {},
    pointer: "/routes/1/pipeline/0",
  };

  it("point to where the stage is written", () => {
    const error = new ConfigError([
      { code: "A", message: "one", pointer: "/x" },
      { code: "B", message: "two", pointer: "" },
    ]);
    expect(locateProblems(error, config)).toEqual([
      { code: "A", message: "one", pointer: "/routes/1/pipeline/0/x" },
      { code: "B", message: "two", pointer: "/routes/1/pipeline/0" },
    ]);
  });

  it("are made of any other error", () => {
    for (const [error, text] of [
      [new Error("oh"), "oh"],
      ["text", "text"],
      [undefined, "undefined"],
    ] as const) {
      expect(locateProblems(error, config)).toEqual([
        {
          code: "CONFIG_OPTION_INVALID",
          message: `The plugin "p" could not be built: ${text}`,
          pointer: config.pointer,
        },
      ]);
    }
  });
});
