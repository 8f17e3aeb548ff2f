/** Where listeners listen. */
import dns from "node:dns";
import { afterEach, expect, it, vi } from "vitest";
import { config, startGateway } from "../support/gateway.ts";

afterEach(() => vi.restoreAllMocks());

it("listens on 127.0.0.1 alone for localhost, also where that is ::1 as well", async () => {
  const lookup = dns.lookup;
  const both = [
    { address: "127.0.0.1", family: 4 },
    { address: "::1", family: 6 },
  ];
  vi.spyOn(dns, "lookup").mockImplementation(((host: string, options: { all?: boolean }, callback: never) => {
    if (host === "localhost" && options.all === true)
      return (callback as (...a: unknown[]) => void)(null, both);
    return lookup(host, options, callback);
  }) as never);
  await using gateway = await startGateway(
    config({
      listeners: [{ address: "localhost:0" }],
      routes: [{ name: "all", match: {}, pipeline: [{ plugin: "respond", body: "hello" }] }],
    }),
  );
  expect(await (await fetch(gateway.url)).text()).toBe("hello");
  await expect(fetch(`http://[::1]:${gateway.port}`, { signal: AbortSignal.timeout(2000) })).rejects.toThrow(
    "fetch failed",
  );
});
