import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BytesBody, QueuedBody } from "../../../../core/body.ts";
import { GatewayError, HeaderList, Reply } from "../../../../core/plugin.ts";
import type { KeptCoalescing } from "../../../../plugins/cache/coalescing/kept.ts";
import {
  allHeard,
  type CoalescingThread,
  CoalescingUpstream,
  openThreads,
} from "../../../support/coalescing.ts";
import { reply } from "../../../support/harness.ts";

let using: AsyncDisposableStack;
let upstream: CoalescingUpstream;
beforeEach(() => {
  using = new AsyncDisposableStack();
  upstream = new CoalescingUpstream();
});
afterEach(() => using.disposeAsync());

let opened: CoalescingThread[];
const open = async (threads: number, options: Record<string, unknown> = {}): Promise<CoalescingThread[]> =>
  (opened = await openThreads(using, upstream, threads, options));

/** Waits until they have heard of each other what there is to hear. */
const heard = (): Promise<void> => allHeard(opened);

/** Waits until so many requests have come to the upstream. */
const askedTimes = (times: number): Promise<void> => expect.poll(() => upstream.asked.length).toBe(times);

const OWN = "200 reply 1 -";
const THEIRS = "200 reply 1 sluice; fwd=uri-miss; collapsed; detail=thread";

describe("threads that coalesce", () => {
  it("send one of the same requests, and anew what comes later", async () => {
    const threads = await open(3);
    const all = threads.flatMap((thread) => [thread.get().got, thread.get().got]);
    await heard();
    upstream.release();
    const beside = "200 reply 1 sluice; fwd=uri-miss; collapsed";
    expect(await Promise.all(all)).toEqual([OWN, beside, THEIRS, THEIRS, THEIRS, THEIRS]);
    expect(upstream.asked).toHaveLength(1);
    const counts = threads.map(({ host }) => Object.values(host.collected("sluice_coalesce_requests_total")));
    expect(counts).toEqual([
      [1, 1, 0],
      [0, 2, 0],
      [0, 2, 0],
    ]);
    upstream.open();
    expect(await threads[2]!.get().got).toBe("200 reply 2 -");
    expect(await threads[1]!.get().got).toBe("200 reply 3 -");
  });

  it.each([
    ["Authorization", { headers: { authorization: "a" } }, { headers: { authorization: "b" } }],
    ["cookies", { headers: { cookie: "a=1" } }, { headers: { cookie: "a=2" } }],
    ["credentials and none", { headers: { "x-api-key": "1" } }, {}],
  ])("do not take requests with different %s for the same", async (_what, one, other) => {
    const [a, b] = await open(2);
    const all = [a!.get(one).got, b!.get(other).got];
    await askedTimes(2);
    upstream.release();
    expect(await Promise.all(all)).toEqual(["200 reply 1 -", "200 reply 2 -"]);
  });

  it("do not take those of different consumers for the same", async () => {
    const [a, b] = await open(2);
    const all = [a!.get({}, "one").got, b!.get({}, "other").got];
    await askedTimes(2);
    upstream.release();
    await Promise.all(all);
  });

  it("tell credentials apart no longer where a reply was for all, on each thread that had it", async () => {
    upstream.answer = (n) => reply(200, { "cache-control": "public, max-age=60" }, `reply ${n}`);
    const [a, b] = await open(2);
    const first = [a!.get().got, b!.get().got];
    await heard();
    upstream.release();
    await Promise.all(first);
    const [one, other] = [{ headers: { cookie: "a" } }, { headers: { cookie: "b" } }];
    const all = [a!.get(one).got, b!.get(other).got];
    await heard();
    upstream.release();
    const theirs = "200 reply 2 sluice; fwd=uri-miss; collapsed; detail=thread";
    expect(await Promise.all(all)).toEqual(["200 reply 2 -", theirs]);
  });

  it("give a private reply to those with the same credentials, and to nobody who has none", async () => {
    upstream.answer = (n) => reply(200, { "cache-control": "private" }, `reply ${n}`);
    const [a, b] = await open(2);
    const headers = { authorization: "a" };
    const same = [a!.get({ headers }).got, b!.get({ headers }).got];
    await heard();
    upstream.release();
    expect(await Promise.all(same)).toEqual([OWN, THEIRS]);
    const anyone = [a!.get().got, b!.get().got];
    await askedTimes(2);
    upstream.release();
    await askedTimes(3);
    upstream.release();
    expect(await Promise.all(anyone)).toEqual(["200 reply 2 -", "200 reply 3 -"]);
  });

  it("send each their own where the reply differs by a field of Vary", async () => {
    upstream.answer = (n) => reply(200, { vary: "accept" }, `reply ${n}`);
    const [a, b] = await open(2);
    const all = [a!.get({ headers: { accept: "a" } }).got, b!.get({ headers: { accept: "b" } }).got];
    await heard();
    expect(upstream.asked).toHaveLength(1);
    upstream.release();
    await askedTimes(2);
    upstream.release();
    expect(await Promise.all(all)).toEqual(["200 reply 1 -", "200 reply 2 -"]);
    const again = [a!.get({ headers: { accept: "b" } }).got, b!.get({ headers: { accept: "b" } }).got];
    await heard();
    upstream.release();
    await Promise.all(again);
    expect(upstream.asked).toHaveLength(3);
  });

  it.each([
    ["of a length that is told", () => new BytesBody(Buffer.alloc(2000, "x"))],
    [
      "that turns out so",
      () => {
        const body = new QueuedBody({ pause() {}, resume() {}, abort() {} }, undefined);
        body.push(Buffer.alloc(2000, "x"));
        body.finish();
        return body;
      },
    ],
  ])("send each their own where the body is too large, %s", async (_what, body) => {
    upstream.answer = () => new Reply(200, new HeaderList(), body());
    const [a, b] = await open(2, { maxBody: "1KB" });
    const all = [a!.get().got, b!.get().got];
    await heard();
    expect(upstream.asked).toHaveLength(1);
    upstream.release();
    await askedTimes(2);
    upstream.open();
    for (const got of await Promise.all(all)) expect(got).toMatch(/^200 x{2000} -$/);
  });

  it("send each their own where the reply has events as they happen", async () => {
    upstream.answer = (n) => reply(200, { "content-type": "text/event-stream" }, `data: ${n}`);
    const [a, b] = await open(2);
    const all = [a!.get().got, b!.get().got];
    await heard();
    upstream.release();
    await askedTimes(2);
    upstream.open();
    expect(await Promise.all(all)).toEqual(["200 data: 1 -", "200 data: 2 -"]);
  });

  it("fetch on for others when the client goes away whose request was sent", async () => {
    const [a, b] = await open(2);
    const first = a!.get();
    await askedTimes(1);
    const second = b!.get();
    await heard();
    first.x.abort(new GatewayError("CLIENT_CLOSED"));
    await expect(first.got).rejects.toThrow();
    upstream.release();
    expect(await second.got).toBe(THEIRS);
    expect(upstream.asked).toHaveLength(1);
  });

  it("send what another fetches for too long, or in vain", async () => {
    const [a, b] = await open(2, { wait: "100ms" });
    const first = a!.get();
    await askedTimes(1);
    const late = b!.get();
    await askedTimes(2);
    upstream.release();
    expect(await Promise.all([first.got, late.got])).toEqual(["200 reply 1 -", "200 reply 2 -"]);
    upstream.answer = (n) => {
      if (n === 3) throw new GatewayError("UPSTREAM_CONNECT_FAILED");
      return reply(200, {}, `reply ${n}`);
    };
    const failing = a!.get();
    await askedTimes(3);
    const other = b!.get();
    await heard();
    upstream.release();
    await expect(failing.got).rejects.toThrow();
    await askedTimes(4);
    upstream.release();
    expect(await other.got).toBe("200 reply 4 -");
  });

  it("wait no longer than a new configuration says", async () => {
    const [a, b] = await open(2, { wait: "1m" });
    const kept = b!.host.kept.get("coalesce test stage") as KeptCoalescing;
    kept.flights.patience = { waitMs: 50, waiting: 10 };
    const first = a!.get();
    await askedTimes(1);
    const second = b!.get();
    await askedTimes(2);
    upstream.release();
    await Promise.all([first.got, second.got]);
  });
});
