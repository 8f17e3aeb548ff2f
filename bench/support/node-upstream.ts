/** An upstream for machines without nginx: a fixed reply to everything. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { BODY_BYTES } from "./upstream.ts";

const body = Buffer.alloc(BODY_BYTES, "x");
const headers = ["Content-Type", "application/json", "Content-Length", String(BODY_BYTES)];
headers.push(...Object.entries(JSON.parse(process.argv[2] ?? "{}") as Record<string, string>).flat());
const server = createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
  request.resume();
  response.writeHead(200, headers).end(body);
});
server.listen(0, "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
