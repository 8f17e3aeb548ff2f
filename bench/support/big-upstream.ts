/**
 * An upstream for large bodies: GET sends as many bytes as the path says, anything else counts what comes and
 * answers the count. With `pause` in the query it stops reading for half a second every 64 MB.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const CHUNK = Buffer.alloc(64 * 1024, "x");
const PAUSE_BYTES = 64 * 2 ** 20;
const PAUSE_MS = 500;

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url!, "http://localhost");
  if (request.method === "GET") {
    let left = Number(pathname.slice(1));
    response.writeHead(200, { "content-length": left });
    const send = (): void => {
      while (left > 0) {
        const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
        left -= chunk.length;
        if (!response.write(chunk)) return void response.once("drain", send);
      }
      response.end();
    };
    send();
    return;
  }
  let bytes = 0;
  let pauseAt = searchParams.has("pause") ? PAUSE_BYTES : Number.POSITIVE_INFINITY;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes < pauseAt) return;
    pauseAt += PAUSE_BYTES;
    request.pause();
    setTimeout(() => request.resume(), PAUSE_MS);
  });
  request.on("end", () => response.end(String(bytes)));
});
server.listen(0, "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
