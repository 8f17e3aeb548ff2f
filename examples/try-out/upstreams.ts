/** Two sample servers to stand behind the gateway: a small shop that says which of them answered. */
import { createServer, type Server } from "node:http";

const PRODUCTS = [
  { id: 1, title: "Sluice gate", price: 120 },
  { id: 2, title: "Lock keeper's lamp", price: 35 },
  { id: 3, title: "Canal map", price: 9 },
];

/** Starts a sample server on a port of this machine. */
export function startSample(port: number): Promise<Server> {
  const server = createServer((request, response) => {
    const json = (status: number, value: object): void => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(`${JSON.stringify({ ...value, "served-by": `sample on ${port}` })}\n`);
    };
    const { pathname } = new URL(request.url ?? "/", "http://sample");
    const id = /^\/products\/(\d+)$/.exec(pathname)?.[1];
    const product = PRODUCTS.find((candidate) => String(candidate.id) === id);
    if (pathname === "/products") return json(200, { products: PRODUCTS });
    if (product !== undefined) return json(200, product);
    if (pathname === "/flaky") return port === 8082 ? json(503, { error: "no" }) : json(200, { ok: true });
    if (pathname === "/broken") return json(500, { error: "broken" });
    if (pathname === "/echo") {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { method, url, headers } = request;
        json(200, { method, url, headers, body: Buffer.concat(chunks).toString() });
      });
      return;
    }
    json(404, { error: `nothing at ${pathname}` });
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
