import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { LogPipe } from "../../../core/threads/log-pipe.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function setUp() {
  const sent: string[] = [];
  const pipe = new LogPipe({ postMessage: (message) => void sent.push((message as { log: string }).log) });
  return { sent, pipe };
}

it("sends lines many at a time, a little later", () => {
  const { sent, pipe } = setUp();
  pipe.write("a\n");
  pipe.write("b\n");
  expect(sent).toEqual([]);
  vi.advanceTimersByTime(50);
  expect(sent).toEqual(["a\nb\n"]);
  vi.advanceTimersByTime(500);
  expect(sent).toHaveLength(1);
});

it("sends at once when there is much", () => {
  const { sent, pipe } = setUp();
  pipe.write("x".repeat(8191));
  expect(sent).toEqual([]);
  pipe.write("\n");
  expect(sent).toHaveLength(1);
});

it("sends what is left when it closes, and no timer runs on", () => {
  const { sent, pipe } = setUp();
  pipe.write("last\n");
  pipe.close();
  expect(sent).toEqual(["last\n"]);
  expect(vi.getTimerCount()).toBe(0);
});
