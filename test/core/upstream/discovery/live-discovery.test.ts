import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Follower, Found, Source } from "../../../../core/upstream/discovery/source.ts";
import { FollowedDiscovery } from "../../../support/discovery.ts";

/** A source that tells what a test tells it to. */
class FakeSource implements Source {
  readonly kind = "fake";
  /** Times that it was begun. */
  begun = 0;
  follower!: Follower;
  end: (error?: Error) => void = () => {};

  follow(follower: Follower): Promise<void> {
    this.begun++;
    this.follower = follower;
    return new Promise((resolve, reject) => {
      this.end = (error) => (error === undefined ? resolve() : reject(error));
      follower.signal.addEventListener("abort", () => resolve());
    });
  }
}

const target = (url: string, weight = 1): Found => ({ url, weight });

function follow(): { source: FakeSource; followed: FollowedDiscovery } {
  const source = new FakeSource();
  return { source, followed: new FollowedDiscovery(() => source) };
}

describe("a discovery", () => {
  it("tells of a set once, sorted, and each URL once however it is written, with its largest weight", async () => {
    const { source, followed } = follow();
    await using _ = followed;
    source.follower.tell([target("http://b:80/", 5), target("http://a:1"), target("http://B", 2)]);
    expect(followed.discovery.found).toEqual([target("http://a:1"), target("http://b", 5)]);
    source.follower.tell([target("http://a:1/"), target("http://b", 5)]);
    expect(followed.changes).toBe(1);
    expect([followed.count("fake", "changed"), followed.count("fake", "unchanged")]).toEqual([1, 1]);
    source.follower.tell([target("http://a:1/"), target("http://b", 6)]);
    expect(followed.changes).toBe(2);
  });

  it("gives the same set for the same targets in any order", async () => {
    const { source, followed } = follow();
    await using _ = followed;
    const urls = fc.uniqueArray(fc.nat(50).map((n) => `http://10.0.0.${n}`));
    const sets = urls.chain((list) =>
      fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
    );
    fc.assert(
      fc.property(sets, ([set, shuffled]) => {
        source.follower.tell(set.map((url) => target(url)));
        const { changes } = followed;
        const { found } = followed.discovery;
        source.follower.tell(shuffled.map((url) => target(url)));
        expect(followed.changes).toBe(changes);
        expect(followed.discovery.found).toBe(found);
        expect(found.map(({ url }) => url)).toEqual(set.toSorted());
      }),
    );
  });

  it("logs what came and what went", async () => {
    const { source, followed } = follow();
    await using _ = followed;
    source.follower.tell([target("http://a"), target("http://b")]);
    source.follower.tell([target("http://b"), target("http://c")]);
    expect(followed.log.lines.at(-1)).toEqual({
      level: "info",
      message: "targets found",
      fields: { upstream: "users", source: "fake", targets: 2, added: ["http://c"], removed: ["http://a"] },
    });
  });

  it("takes an empty answer as such, and warns", async () => {
    const { source, followed } = follow();
    await using _ = followed;
    source.follower.tell([target("http://a")]);
    source.follower.tell([]);
    expect(followed.urls).toEqual([]);
    expect(followed.discovery.failure).toBeUndefined();
    expect(followed.warnings.map(({ message }) => message)).toEqual(["there are no targets"]);
  });

  it("keeps the last good set while its source fails; says so once, and when it recovers", async () => {
    const { source, followed } = follow();
    await using _ = followed;
    source.follower.tell([target("http://a")]);
    expect(followed.stale).toBe(0);
    source.follower.failed(new Error("no luck\nat line 2"));
    source.follower.failed(new Error("still no luck"));
    expect(followed.urls).toEqual(["http://a"]);
    expect(followed.discovery.failure?.message).toBe("still no luck");
    expect(followed.stale).toBe(1);
    expect(followed.count("fake", "failed")).toBe(2);
    expect(followed.warnings).toEqual([
      {
        level: "warn",
        message: "targets cannot be found; those that are known stay",
        fields: { upstream: "users", source: "fake", targets: 1, reason: "no luck" },
      },
    ]);
    source.follower.tell([target("http://a")]);
    expect([followed.stale, followed.discovery.failure, followed.changes]).toEqual([0, undefined, 1]);
    expect(followed.log.lines.at(-1)).toMatchObject({ level: "info", message: "targets are found again" });
    source.follower.failed(new Error("again"));
    expect(followed.warnings).toHaveLength(2);
  });

  it("uses what a failing source knows nevertheless", async () => {
    const { source, followed } = follow();
    await using _ = followed;
    source.follower.failed(new Error("half"), [target("http://a")]);
    expect([followed.urls, followed.stale]).toEqual([["http://a"], 1]);
  });

  it("takes a target that requests cannot be sent to for a failure", async () => {
    const { source, followed } = follow();
    await using _ = followed;
    source.follower.tell([target("http://a")]);
    expect(() => source.follower.tell([target("ftp://b")])).toThrow("starts with http://");
    expect(followed.urls).toEqual(["http://a"]);
  });

  it("tells nobody who has gone", async () => {
    const { source, followed } = follow();
    await using _ = followed;
    let told = 0;
    const end = followed.discovery.subscribe(() => void told++);
    source.follower.tell([target("http://a")]);
    end();
    source.follower.tell([]);
    expect(told).toBe(1);
  });
});

describe("a discovery in time", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
  afterEach(() => void vi.useRealTimers());

  it("is ready when its source has answered", async () => {
    const { source, followed } = follow();
    await using _ = followed;
    source.follower.tell([]);
    await followed.discovery.ready;
    expect(followed.discovery.failure).toBeUndefined();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is ready when its source has failed", async () => {
    const { source, followed } = follow();
    await using _ = followed;
    source.follower.failed(new Error("no"));
    await followed.discovery.ready;
  });

  it("is ready after 8 seconds in any case, and recovers with the first answer", async () => {
    const { source, followed } = follow();
    await using _ = followed;
    let isReady = false;
    void followed.discovery.ready.then(() => (isReady = true));
    await vi.advanceTimersByTimeAsync(7999);
    expect(isReady).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(isReady).toBe(true);
    expect(followed.discovery.failure?.message).toBe("There was no answer within 8 s");
    source.follower.tell([target("http://a")]);
    expect(followed.discovery.failure).toBeUndefined();
  });

  it("begins a source that ended anew, after longer and longer pauses with jitter, until it answers", async () => {
    const { source, followed } = follow();
    await using _ = followed;
    followed.host.randoms.push(0, 1);
    const pauses = [250, 1000, 1500, 3000, 6000, 12_000, 22_500, 22_500];
    for (const [i, ms] of pauses.entries()) {
      source.end(i % 2 === 0 ? new Error("no") : undefined);
      await vi.advanceTimersByTimeAsync(ms - 1);
      expect([ms, source.begun]).toEqual([ms, i + 1]);
      await vi.advanceTimersByTimeAsync(1);
      expect([ms, source.begun]).toEqual([ms, i + 2]);
    }
    source.follower.tell([]);
    source.end(new Error("no"));
    await vi.advanceTimersByTimeAsync(375);
    expect(source.begun).toBe(pauses.length + 2);
  });

  it("leaves nothing behind when it is closed, while it waits as well as while it pauses", async () => {
    const [one, two] = [follow(), follow()];
    two.source.end(new Error("no"));
    await vi.advanceTimersByTimeAsync(0);
    await one.followed.discovery.close();
    await two.followed.discovery.close();
    await one.followed.discovery.ready;
    expect(vi.getTimerCount()).toBe(0);
    expect(one.followed.stale).toBeUndefined();
    one.source.follower.tell([target("http://a")]);
    one.source.follower.failed(new Error("late"));
    expect([one.followed.urls, one.followed.discovery.failure]).toEqual([[], undefined]);
  });
});
