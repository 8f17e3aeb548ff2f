// @fastify/http-proxy as its README has it: `fastify-http-proxy.mjs PORT UPSTREAM [REVISION]`.
import httpProxy from "@fastify/http-proxy";
import fastify from "fastify";

const [port, upstream, revision] = process.argv.slice(2);
const server = fastify({ logger: false, keepAliveTimeout: 600_000 });
server.register(httpProxy, {
  upstream,
  disableRequestLogging: true,
  // The defaults of its connection pool (@fastify/reply-from, undici), with room for 1,000 busy clients.
  undici: { connections: 1024, pipelining: 1, keepAliveTimeout: 60_000 },
  ...(revision === undefined
    ? {}
    : {
        replyOptions: {
          rewriteRequestHeaders: (_request, headers) => ({ ...headers, "x-revision": revision }),
        },
      }),
});
await server.listen({ port: Number(port), host: "127.0.0.1" });
