/** HTTP servers of APIs that tests speak to, with TLS or without. */
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Certificate } from "./certificates.ts";

export function createApiServer(handle: RequestListener, certificate: Certificate | undefined): Server {
  if (certificate === undefined) return createServer(handle);
  return createTlsServer(certificate, handle) as unknown as Server;
}

export const listen = (server: Server): Promise<void> =>
  new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

export const portOf = (server: Server): number => (server.address() as AddressInfo).port;
