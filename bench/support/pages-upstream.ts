/**
 * An upstream of many pages for `cache`: a path ends in the length of its body, and `?after=MS` lets it wait. GET /asked
 * says how many requests have come.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

let asked = 0;
const bodies = new Map<number, Buffer>();
const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url!, "http://localhost");
  if (pathname === "/asked") return void response.end(String(asked));
  asked++;
  const length = Number(pathname.slice(pathname.lastIndexOf("/") + 1));
  const body = bodies.get(length) ?? Buffer.alloc(length, "x");
  bodies.set(length, body);
  const head = { "content-type": "text/plain", "content-length": length, "cache-control": "max-age=3600" };
  const answer = (): void => void response.writeHead(200, head).end(body);
  const afterMs = Number(searchParams.get("after") ?? 0);
  if (afterMs > 0) setTimeout(answer, afterMs);
  else answer();
});
server.listen(0, "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
