import { describe, expect, it } from "vitest";
import { GatewayError } from "../../core/errors.ts";
import type { Exchange } from "../../core/exchange.ts";
import { Peer } from "../../core/peer.ts";
import { requestId } from "../../plugins/request-id.ts";
import { isTraceparent, isTracestate } from "../../plugins/request-id/trace-context.ts";
import { buildStage, exchange, type RequestInit, reply } from "../support/harness.ts";
import { cpuMsOf } from "../support/cpu-time.ts";

const UUID4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const UUID7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async function run(options: Record<string, unknown>, request: RequestInit = {}) {
  const x = exchange(request);
  const handler = await buildStage(requestId, options, () => reply(200, { "X-Request-Id": "upstream's" }));
  return { x, out: await handler(x) };
}

const upstreamId = (x: Exchange): string[] => x.headers.getAll("x-request-id");

describe("the request id", () => {
  it("is a new UUID of version 7 when the client sends none, on the exchange, the request and the reply", async () => {
    const { x, out } = await run({});
    expect(x.id).toMatch(UUID7);
    expect(upstreamId(x)).toEqual([x.id]);
    expect(out.headers.getAll("x-request-id")).toEqual([x.id]);
  });

  it("is a UUID of version 4 when asked", async () => {
    expect((await run({ format: "uuidv4" })).x.id).toMatch(UUID4);
  });

  it("is the client's when that is safe", async () => {
    for (const id of ["abc-1.2_3", "Zm9v+/==", "urn:uuid:1@host~x", "a".repeat(128)]) {
      const { x, out } = await run({}, { headers: { "X-Request-ID": id } });
      expect(x.id).toBe(id);
      expect(upstreamId(x)).toEqual([id]);
      expect(out.headers.getAll("x-request-id")).toEqual([id]);
    }
  });

  it("replaces ids that are empty, too long, out of the alphabet or sent twice", async () => {
    const bad = ["", "a".repeat(129), "a b", 'a"b', "a,b", "a;b", "a<b", "a\\b", "é", "a\tb", "$a", "{a}"];
    for (const id of [...bad, ["one", "two"]]) {
      const { x } = await run({}, { headers: { "x-request-id": id } });
      expect(x.id).toMatch(UUID7);
      expect(upstreamId(x)).toEqual([x.id]);
    }
  });

  it("replaces the client's when trust is never", async () => {
    const { x } = await run({ trust: "never" }, { headers: { "x-request-id": "abc" } });
    expect(x.id).toMatch(UUID7);
    expect(upstreamId(x)).toEqual([x.id]);
  });

  it("keeps only the ids of trusted proxies when trust is proxies", async () => {
    const idFrom = async (trusted: boolean) => {
      const peer = new Peer("192.0.2.1", 80, "http", () => trusted);
      return (await run({ trust: "proxies" }, { headers: { "x-request-id": "abc" }, init: { peer } })).x.id;
    };
    expect(await idFrom(true)).toBe("abc");
    expect(await idFrom(false)).toMatch(UUID7);
  });

  it("travels in the header that is configured, in any case", async () => {
    const { x, out } = await run({ header: "X-Correlation-ID" }, { headers: { "x-correlation-id": "abc" } });
    expect(x.id).toBe("abc");
    expect(x.headers.getAll("x-correlation-id")).toEqual(["abc"]);
    expect(out.headers.get("x-correlation-id")).toBe("abc");
    for (const header of ["not a name", "Content-Length"]) {
      await expect(buildStage(requestId, { header })).rejects.toMatchObject({
        problems: [{ pointer: "/header" }],
      });
    }
  });

  it("leaves the reply alone when reply is false", async () => {
    const { x, out } = await run({ reply: false }, { headers: { "x-request-id": "abc" } });
    expect(x.id).toBe("abc");
    expect(out.headers.getAll("x-request-id")).toEqual(["upstream's"]);
  });

  it("is on the reply of a failure, unless reply is false", async () => {
    const failure = new GatewayError("UPSTREAM_TIMEOUT");
    const failing = async (options: object) => {
      const x = exchange();
      const handler = await buildStage(requestId, { ...options }, () => Promise.reject(failure));
      await expect(Promise.resolve(handler(x))).rejects.toBe(failure);
      return x;
    };
    const x = await failing({});
    expect(x.failureHeaders?.raw).toEqual(["x-request-id", x.id]);
    expect((await failing({ reply: false })).failureHeaders).toBeUndefined();
  });
});

describe("the trace context", () => {
  const trace = async (headers: NonNullable<RequestInit["headers"]>, traceContext?: string) => {
    const { x } = await run(traceContext === undefined ? {} : { traceContext }, { headers });
    return [x.headers.getAll("traceparent"), x.headers.getAll("tracestate")];
  };

  it("passes unchanged when valid", async () => {
    for (const mode of [undefined, "pass", "create"]) {
      const headers = ["TraceParent", PARENT, "tracestate", "a=1, b=2", "tracestate", "c@d=3"];
      expect(await trace(headers, mode)).toEqual([[PARENT], ["a=1, b=2", "c@d=3"]]);
    }
  });

  it("is not begun by default", async () => {
    expect(await trace({})).toEqual([[], []]);
  });

  it("loses an invalid traceparent, and tracestate with it", async () => {
    expect(await trace({ traceparent: PARENT.toUpperCase(), tracestate: "a=1" })).toEqual([[], []]);
    expect(await trace({ traceparent: [PARENT, PARENT], tracestate: "a=1" })).toEqual([[], []]);
    expect(await trace({ tracestate: "a=1" })).toEqual([[], []]);
  });

  it("loses an invalid tracestate alone", async () => {
    expect(await trace({ traceparent: PARENT, tracestate: "A=1" })).toEqual([[PARENT], []]);
  });

  it("is begun anew, sampled, by create when absent or invalid", async () => {
    for (const headers of [
      {},
      { traceparent: "junk", tracestate: "a=1" },
      { traceparent: [PARENT, PARENT] },
    ]) {
      const [parents, states] = await trace(headers, "create");
      expect(parents).toHaveLength(1);
      expect(isTraceparent(parents![0]!)).toBe(true);
      expect(parents![0]).toMatch(/^00-.*-01$/);
      expect(parents![0]).not.toBe(PARENT);
      expect(states).toEqual([]);
    }
  });
});

describe("isTraceparent", () => {
  const id = "4bf92f3577b34da6a3ce929d0e0e4736";
  const span = "00f067aa0ba902b7";

  it("accepts version 00 and later versions that are longer or as long", () => {
    for (const value of [PARENT, `00-${id}-${span}-ff`, `01-${id}-${span}-01`, `cc-${id}-${span}-01-more`]) {
      expect(isTraceparent(value), value).toBe(true);
    }
  });

  it("refuses all else", () => {
    const bad = [
      "",
      `00-${"0".repeat(32)}-${span}-01`,
      `00-${id}-${"0".repeat(16)}-01`,
      `01-${"0".repeat(32)}-${span}-01`,
      `01-${id}-${"0".repeat(16)}-01`,
      `00-${id.toUpperCase()}-${span}-01`,
      `00-${id}-${span.toUpperCase()}-01`,
      `ff-${id}-${span}-01`,
      `FF-${id}-${span}-01`,
      `00-${id}-${span}-01-more`,
      `00-${id}-${span}-01-`,
      `01-${id}-${span}-01more`,
      `01-${id}-${span}-0`,
      `00-${id}-${span}-0x`,
      `00-${id.slice(1)}-${span}-01`,
      `00-${id}-${span}`,
      `0-${id}-${span}-01`,
      `00_${id}_${span}_01`,
    ];
    for (const value of bad) expect(isTraceparent(value), value).toBe(false);
  });
});

describe("isTracestate", () => {
  it("accepts lists of keys and values, with empty members and space around", () => {
    const full = Array.from({ length: 32 }, (_, i) => `k${i}=v`).join(",");
    for (const value of [
      "",
      "a=1",
      "a=1,b=2",
      " a=1 ,\tb=2\t",
      "a=1,,b=2,",
      "0t@sys=x y",
      "a=b c",
      full,
      `${full},`,
    ]) {
      expect(isTracestate(value), value).toBe(true);
    }
  });

  it("refuses bad keys, bad values and more than 32 members", () => {
    const tooMany = Array.from({ length: 33 }, (_, i) => `k${i}=v`).join(",");
    const bad = [
      "a",
      "=1",
      "a=",
      "A=1",
      "a b=1",
      "a=1=2",
      "a=é",
      `${"k".repeat(257)}=1`,
      `a=${"v".repeat(257)}`,
    ];
    for (const value of [...bad, tooMany]) expect(isTracestate(value), value).toBe(false);
    expect(isTracestate(`${"k".repeat(256)}=${"v".repeat(256)}`)).toBe(true);
  });

  it("stays fast on long runs of spaces", () => {
    const cpuMs = cpuMsOf(() => void isTracestate(`a=1${" ".repeat(60_000)}x,${" ".repeat(60_000)}x`));
    expect(cpuMs).toBeLessThan(500);
  });
});
