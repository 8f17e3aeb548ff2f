/** Targets that are reached by TLS or by a socket of this machine. */
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer, type ServerOptions } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { join } from "node:path";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { stringify } from "yaml";
import { type ConfigLoadError, createGateway } from "../../core/embed.ts";
import { TempFolder } from "../core/config/temp-folder.ts";
import { type Authority, type Certificate, createAuthority } from "../support/certificates.ts";
import { proxyTo, startGateway, type TestGateway } from "../support/gateway.ts";

let authority: Authority;
let other: Authority;
let leaf: Certificate;

beforeAll(async () => {
  [authority, other] = await Promise.all([createAuthority(), createAuthority("Other CA")]);
  leaf = await authority.issue(["127.0.0.1"]);
});

async function listen(server: Server, at: number | string): Promise<void> {
  if (typeof at === "string") server.listen(at);
  else server.listen(at, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => new Promise((resolve) => void server.close(() => resolve())));
}

async function startSecure(options: ServerOptions = {}): Promise<string> {
  const server = createServer({ ...leaf, ...options }, (request, response) => {
    response.setHeader("connection", "close");
    response.end(`secure ${request.url}`);
  });
  server.on("tlsClientError", () => {});
  await listen(server, 0);
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function ask(gateway: TestGateway, path = "/a"): Promise<[number, string]> {
  const reply = await fetch(gateway.url + path);
  const text = await reply.text();
  return [reply.status, reply.status === 200 ? text : JSON.parse(text).code];
}

function tempFolder(): TempFolder {
  const folder = new TempFolder();
  onTestFinished(() => folder.remove());
  return folder;
}

describe("A target with https://", () => {
  it("is reached when its certificate is trusted; else it is a 502 that is counted and logged", async () => {
    const url = await startSecure();
    const tls = { ca: authority.cert };
    await using good = await startGateway(proxyTo(`${url}/base`, {}, {}, { tls }));
    expect(await ask(good)).toEqual([200, "secure /base/a"]);

    const admin = { address: "127.0.0.1:0" };
    await using bad = await startGateway(proxyTo(url, {}, { admin }, { tls: { ca: other.cert } }));
    for (let i = 0; i < 3; i++) expect(await ask(bad)).toEqual([502, "UPSTREAM_TLS_FAILED"]);
    const line = await bad.logged((each) => each["code"] === "UPSTREAM_TLS_FAILED" && "cause" in each);
    expect(line).toMatchObject({
      upstream: "main",
      target: url,
      cause: expect.stringMatching(/^UNABLE_TO_/),
    });
    const metrics = await (await fetch(`${bad.adminUrl}/metrics`)).text();
    expect(metrics).toContain('sluice_errors_total{code="UPSTREAM_TLS_FAILED"} 3');
    expect(metrics).toMatch(/sluice_upstream_target_in_flight\{.*\} 0\n/);
  });

  it("may ask for a client certificate, from files that are read again when they change", async () => {
    const url = await startSecure({ requestCert: true, ca: authority.cert });
    const [mine, strange] = await Promise.all([
      authority.issue(["gateway.test"]),
      other.issue(["gateway.test"]),
    ]);
    const folder = tempFolder();
    folder.write("ca.pem", other.cert);
    folder.write("client.pem", strange.cert);
    folder.write("client.key", strange.key);
    const tls = { ca: "${file:ca.pem}", cert: "${file:client.pem}", key: "${file:client.key}" };
    const file = folder.write("gateway.yaml", stringify(proxyTo(url, {}, {}, { tls })));
    await using gateway = await startGateway(file, { watch: true });
    expect(await ask(gateway)).toEqual([502, "UPSTREAM_TLS_FAILED"]);

    const activated = (generation: number) =>
      gateway.logged(
        (line) => line["msg"] === "configuration activated" && line["generation"] === generation,
      );
    folder.write("ca.pem", authority.cert);
    await activated(2);
    expect((await ask(gateway))[0]).toBe(502); // the gateway's certificate is not trusted yet

    // One after the other: between the two they do not belong together, which refuses what is on disk.
    folder.write("client.pem", mine.cert);
    folder.write("client.key", mine.key);
    await activated(3);
    expect(await ask(gateway)).toEqual([200, "secure /a"]);

    folder.write("client.key", strange.key);
    const refusal = await gateway.logged(
      (line) => line["code"] === "CONFIG_CERTIFICATE" && line["level"] === "error",
    );
    expect(refusal["msg"]).toContain("does not belong");
    expect(gateway.generation).toBe(3);
    expect(await ask(gateway)).toEqual([200, "secure /a"]);
    expect(JSON.stringify(gateway.lines)).not.toContain(strange.key.split("\n")[1]!.slice(0, 20));
  });

  it("refuses keys that cannot be used, at their place, and never shows them", async () => {
    const folder = tempFolder();
    const { key } = await other.issue(["a.test"]);
    const source = proxyTo("https://127.0.0.1:9", {}, {}, { tls: { cert: leaf.cert, key, ca: "none" } });
    const file = folder.write("gateway.yaml", stringify(source));
    const error = (await createGateway(file).catch((e: unknown) => e)) as ConfigLoadError;
    expect(error.diagnostics.map(({ code, pointer, line }) => [code, pointer, (line ?? 0) > 1])).toEqual([
      ["CONFIG_CERTIFICATE", "/upstreams/main/tls/key", true],
      ["CONFIG_CERTIFICATE", "/upstreams/main/tls/ca", true],
    ]);
    expect(JSON.stringify(error.diagnostics)).not.toContain(key.split("\n")[1]!.slice(0, 20));
  });
});

describe("A target with unix:", () => {
  it("is reached by its socket, as localhost, below its base path", async () => {
    const path = join(tempFolder().path, "app.sock");
    const server = createHttpServer((request, response) => {
      response.setHeader("connection", "close");
      response.end(`${request.headers.host} ${request.url}`);
    });
    await using gateway = await startGateway(proxyTo(`unix:${path}`));
    expect(await ask(gateway)).toEqual([502, "UPSTREAM_CONNECT_FAILED"]);
    const failure = await gateway.logged((line) => "cause" in line);
    expect(failure).toMatchObject({ target: `unix:${path}`, cause: "ENOENT" });
    await listen(server, path);
    expect(await ask(gateway, "/a?b")).toEqual([200, "localhost /a?b"]);
    await using below = await startGateway(proxyTo(`unix:${path}:/base/`));
    expect(await ask(below, "/a?b")).toEqual([200, "localhost /base/a?b"]);
  });
});
