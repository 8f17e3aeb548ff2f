/**
 * The yardstick: the least that a correct reverse proxy on node:http and undici does. Hop-by-hop fields are
 * removed both ways, headers stay flat arrays, bodies stream with back-pressure. No routing, no log, no metrics,
 * no checks, no Forwarded, no Via.
 */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type Dispatcher, Pool } from "undici";

type Controller = Dispatcher.DispatchController & { rawHeaders: { latin1Slice(): string }[] };

const pool = new Pool(process.argv[2]!, { connections: 128, pipelining: 1 });
const hopByHop = new Set(
  "connection keep-alive proxy-connection transfer-encoding te trailer upgrade".split(" "),
);

function endToEnd(raw: readonly string[]): string[] {
  const out: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    if (!hopByHop.has(raw[i]!.toLowerCase())) out.push(raw[i]!, raw[i + 1]!);
  }
  return out;
}

class Call {
  readonly #response: ServerResponse;
  constructor(response: ServerResponse) {
    this.#response = response;
  }
  onRequestStart(): void {}
  onResponseStart(controller: Controller, status: number): void {
    if (status >= 200) {
      this.#response.writeHead(status, endToEnd(controller.rawHeaders.map((bytes) => bytes.latin1Slice())));
    }
  }
  onResponseData(controller: Controller, chunk: Buffer): void {
    const response = this.#response;
    if (response.write(chunk) || response.destroyed) return;
    controller.pause();
    const resume = (): void => controller.resume();
    response.once("drain", resume).once("close", resume);
  }
  onResponseEnd(): void {
    this.#response.end();
  }
  onResponseError(): void {
    this.#response.destroy();
  }
}

// As Sluice does: no stream for requests without a body.
const server = createServer({ optimizeEmptyRequests: true }, (request, response) => {
  const { method } = request;
  const body = method === "GET" || method === "HEAD" ? null : request;
  const headers = endToEnd(request.rawHeaders);
  const options = { path: request.url, method, headers, body } as Dispatcher.DispatchOptions;
  pool.dispatch(options, new Call(response) as unknown as Dispatcher.DispatchHandler);
});
server.listen(0, "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
