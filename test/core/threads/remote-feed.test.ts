import { describe, expect, it } from "vitest";
import {
  type FeedMessage,
  followFeeds,
  receiveFeeds,
  RemoteFeed,
  sendFeeds,
} from "../../../core/threads/remote-feed.ts";
import type { FedTarget } from "../../../core/upstream/feed.ts";

const fed = (url: string): FedTarget => ({
  url,
  weight: 1,
  record: new SharedArrayBuffer(8),
  outlier: undefined,
});

describe("feeds of upstreams", () => {
  it("arrive on another thread with the same memory, and follow what is told", () => {
    const [a, b] = [fed("http://a"), fed("http://b")];
    const here = new RemoteFeed(new SharedArrayBuffer(8), [a]);
    const there = receiveFeeds(structuredClone(sendFeeds(new Map([["users", here]])))).get("users")!;
    new Int32Array(a.record)[0] = 7;
    new Int32Array(here.shared)[0] = 8;
    expect(there.targets.map(({ url, record }) => [url, new Int32Array(record)[0]])).toEqual([
      ["http://a", 7],
    ]);
    expect(new Int32Array(there.shared)[0]).toBe(8);

    const told: FeedMessage[] = [];
    const end = followFeeds(new Map([["users", here]]), 3, (message) => void told.push(message));
    here.set([a, b]);
    expect(told).toEqual([{ generation: 3, upstream: "users", targets: [a, b] }]);
    let heard = 0;
    const unsubscribe = there.subscribe(() => heard++);
    there.set(structuredClone(told[0]!.targets));
    expect([heard, there.targets.map(({ url }) => url)]).toEqual([1, ["http://a", "http://b"]]);
    unsubscribe();
    end();
    here.set([]);
    there.set([]);
    expect([told.length, heard]).toEqual([1, 1]);
  });
});
