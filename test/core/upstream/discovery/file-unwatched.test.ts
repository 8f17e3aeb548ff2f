import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FollowedDiscovery } from "../../../support/discovery.ts";
import { TempFolder } from "../../config/temp-folder.ts";

const watchConfig = vi.hoisted(() => vi.fn());
vi.mock("../../../../core/config/watch.ts", () => ({ watchConfig }));

let folder: TempFolder;
beforeEach(() => {
  folder = new TempFolder();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
  folder.remove();
});

describe("targets in a file that cannot be watched", () => {
  it("are read again and again, and the failure is told", async () => {
    watchConfig.mockRejectedValue(new Error("ENOSPC: no watches are left"));
    folder.write("t.json", '["http://a"]');
    await using followed = new FollowedDiscovery({ file: "t.json" }, folder.path);
    await followed.found("http://a");
    expect(await followed.failed()).toBe("t.json cannot be watched: ENOSPC: no watches are left");
    folder.write("t.json", '["http://b"]');
    await followed.until(() => vi.getTimerCount() === 1);
    await vi.advanceTimersByTimeAsync(500);
    await followed.found("http://b");
  });

  it("are watched anew when the watch breaks", async () => {
    const close = vi.fn(async () => {});
    let breakWatch: (error: Error) => void = () => {};
    watchConfig.mockImplementation(async (_sources, _onChange, { onError }) => {
      breakWatch = onError;
      return { close };
    });
    folder.write("t.json", '["http://a"]');
    await using followed = new FollowedDiscovery({ file: "t.json" }, folder.path);
    await followed.found("http://a");
    folder.write("t.json", '["http://b"]');
    breakWatch(new Error("EMFILE"));
    await followed.found("http://b");
    expect(await followed.failed()).toBe("t.json cannot be watched: EMFILE");
    await followed.until(() => close.mock.calls.length === 1 && vi.getTimerCount() === 1);
    const calls = watchConfig.mock.calls.length;
    await vi.advanceTimersByTimeAsync(500);
    await followed.until(() => watchConfig.mock.calls.length > calls);
    await followed.recovered();
  });
  it("are watched anew when the watch breaks at once", async () => {
    watchConfig.mockImplementation(async (_sources, _onChange, { onError }) => {
      onError(new Error("EMFILE"));
      return { close: async () => {} };
    });
    folder.write("t.json", '["http://a"]');
    await using followed = new FollowedDiscovery({ file: "t.json" }, folder.path);
    expect(await followed.failed()).toBe("t.json cannot be watched: EMFILE");
    expect(followed.urls).toEqual(["http://a"]);
  });
});
