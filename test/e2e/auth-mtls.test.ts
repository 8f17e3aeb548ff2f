/** Client certificates: a real handshake with a proxy that ends TLS, and the command line behind it. */
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { request as forward } from "node:http";
import { createServer, request, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { afterEach, beforeEach, expect, it } from "vitest";
import { TempFolder } from "../core/config/temp-folder.ts";
import { type Certificate, createAuthority, issueClient } from "../support/certificates.ts";
import { type RunningCli, startCli } from "../support/cli.ts";

let folder: TempFolder;
let proxy: Server;

beforeEach(() => {
  folder = new TempFolder();
});
afterEach(async () => {
  folder.remove();
  proxy.closeAllConnections();
  proxy.close();
  await once(proxy, "close");
});

/** Ends TLS, and tells of whatever certificate the client has proved that it owns. */
async function startProxy(own: Certificate, cli: RunningCli): Promise<void> {
  proxy = createServer({ ...own, requestCert: true, rejectUnauthorized: false }, (received, response) => {
    const { raw } = (received.socket as TLSSocket).getPeerCertificate();
    const headers = { ...received.headers };
    delete headers["client-cert"];
    if (raw !== undefined) headers["client-cert"] = `:${raw.toString("base64")}:`;
    const sent = forward(cli.url, { headers }, (reply) => {
      response.writeHead(reply.statusCode!);
      reply.pipe(response);
    });
    received.pipe(sent);
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
}

async function ask(client: Certificate | undefined): Promise<string> {
  const { port } = proxy.address() as AddressInfo;
  const sent = request({ host: "127.0.0.1", port, ...client, rejectUnauthorized: false, agent: false });
  sent.end();
  const [reply] = await once(sent, "response");
  const text = Buffer.concat(await reply.toArray()).toString();
  return reply.statusCode === 200 ? text : String(reply.statusCode);
}

it("lets in who has proved to a trusted proxy that a certificate is theirs, and nobody who only sends it", async () => {
  const [ca, later] = await Promise.all([createAuthority(), createAuthority("Later CA")]);
  const altNames = [{ type: 6 as const, value: "spiffe://example.com/till" }];
  const till = await issueClient(ca, "till", { altNames, use: "clientAuth" });
  const renewed = await issueClient(later, "till", { altNames, use: "clientAuth" });
  const unknown = await issueClient(ca, "somebody");
  folder.write("ca.pem", ca.cert);
  const config = folder.write(
    "sluice.yaml",
    `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0, trustedProxies: [127.0.0.1] }, { address: 127.0.0.1:0 }]
threads: 2
consumers: [{ name: till, credentials: [{ certificateSan: "uri:spiffe://example.com/till" }] }]
routes:
  - name: all
    match: { path: /* }
    pipeline: [{ plugin: auth, methods: [{ mtls: { ca: "\${file:ca.pem}" } }] }, { plugin: respond, body: "{consumer.name} {request.header.client-cert}" }]
`,
  );
  await using cli = await startCli(["--config", config]);
  await startProxy(await ca.issue(["127.0.0.1"]), cli);
  expect(await ask(till)).toBe("till ");
  expect(await ask(unknown)).toBe("401");
  expect(await ask(undefined)).toBe("401");
  expect(await ask(renewed)).toBe("401");

  const headers = { "client-cert": `:${new X509Certificate(till.cert).raw.toString("base64")}:` };
  expect((await fetch(cli.urls[1]!, { headers })).status).toBe(401);

  // The authorities change: what the first has issued is not valid any more.
  folder.write("ca.pem", later.cert);
  await cli.logged((line) => line["msg"] === "configuration activated" && line["generation"] === 2);
  expect(await ask(renewed)).toBe("till ");
  expect(await ask(till)).toBe("401");
  await cli.stop();
});
