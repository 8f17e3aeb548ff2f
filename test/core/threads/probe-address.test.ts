import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { probeAddress } from "../../../core/threads/probe-address.ts";

async function listen(reusePort: boolean): Promise<string> {
  const server = createServer().listen({ port: 0, host: "127.0.0.1", reusePort });
  onTestFinished(() => new Promise((resolve) => void server.close(() => resolve())));
  await once(server, "listening");
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it.each([false, true])(
  "refuses an address that another listens on, be it shared or not: %s",
  async (shared) => {
    await expect(probeAddress(await listen(shared))).rejects.toMatchObject({ code: "EADDRINUSE" });
  },
);

it("leaves an address that is free as free as it was", async () => {
  const server = createServer().listen({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  await new Promise((resolve) => server.close(resolve));
  await probeAddress(address);
  await probeAddress(address);
});
