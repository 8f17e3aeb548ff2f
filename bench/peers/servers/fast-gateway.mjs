// fast-gateway as its README has it: `fast-gateway.mjs PORT UPSTREAM [REVISION]`. Its proxy keeps connections to the
// upstream alive by itself.
import gateway from "fast-gateway";

const [port, upstream, revision] = process.argv.slice(2);
const server = gateway({
  routes: [
    {
      prefix: "",
      target: upstream,
      ...(revision === undefined
        ? {}
        : {
            hooks: { rewriteRequestHeaders: (_request, headers) => ({ ...headers, "x-revision": revision }) },
          }),
    },
  ],
});
// Clients may idle for as long as with the others; Node closes their connections after 5 s.
server.getServer().keepAliveTimeout = 600_000;
await server.start(Number(port), "127.0.0.1");
