// http-proxy as its README has it: `http-proxy.mjs PORT UPSTREAM [REVISION]`. Without an agent it would open a connection
// for each request.
import { Agent, createServer } from "node:http";
import httpProxy from "http-proxy";

const [port, target, revision] = process.argv.slice(2);
const proxy = httpProxy.createProxyServer({
  target,
  xfwd: true,
  agent: new Agent({ keepAlive: true, maxFreeSockets: 1024 }),
  ...(revision === undefined ? {} : { headers: { "x-revision": revision } }),
});
proxy.on("error", (_error, _request, response) => {
  if (!response.headersSent) response.writeHead(502);
  response.end();
});
// Clients may idle for as long as with the others; Node closes their connections after 5 s.
const options = { keepAliveTimeout: 600_000 };
createServer(options, (request, response) => proxy.web(request, response)).listen(Number(port), "127.0.0.1");
