/** One gateway signs, another one lets in what is signed, and somebody between them meddles. */
import { generateKeyPairSync } from "node:crypto";
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, it } from "vitest";
import { TempFolder } from "../core/config/temp-folder.ts";
import { type RunningCli, runCli, startCli } from "../support/cli.ts";

const SECRET = Buffer.from("planted-secret-of-both-gateways!").toString("base64");
const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const PUBLIC_PEM = publicKey.export({ type: "spki", format: "pem" }).toString();
const PRIVATE_PEM = privateKey.export({ type: "pkcs8", format: "pem" }).toString();

interface Message {
  method: string;
  url: string;
  headers: string[];
  body: string;
}

let folder: TempFolder;
let servers: Server[];
/** What the upstream of the second gateway got. */
let seen: Message[];
/** What passed between the gateways. */
let passed: Message[];
/** What is done to it on its way. */
let meddle: (message: Message) => Message;

async function read(incoming: IncomingMessage): Promise<Message> {
  const { method = "", url = "", rawHeaders } = incoming;
  return { method, url, headers: rawHeaders, body: await text(incoming) };
}

async function serve(answer: (message: Message) => Promise<[status: number, body: string]>): Promise<number> {
  const server = createServer(async (incoming, response) => {
    const [status, body] = await answer(await read(incoming));
    response.writeHead(status).end(body);
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** Sends a message as it is. */
async function send(to: string, { method, url, headers, body }: Message): Promise<[number, string]> {
  const sent = request(to, { method, path: url, headers: withLength(headers, body), agent: false });
  sent.end(body);
  const [reply] = (await once(sent, "response")) as [IncomingMessage];
  return [reply.statusCode ?? 0, await text(reply)];
}

function withLength(headers: readonly string[], body: string): string[] {
  const pairs = headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1]!]] : []));
  const kept = pairs.filter(([name]) => !/^(content-length|transfer-encoding|connection)$/i.test(name!));
  return [...kept.flat(), "content-length", String(Buffer.byteLength(body)), "connection", "close"];
}

beforeEach(() => {
  folder = new TempFolder();
  servers = [];
  seen = [];
  passed = [];
  meddle = (message) => message;
});
afterEach(async () => {
  folder.remove();
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
});

const START =
  "apiVersion: sluice/v1\nlisteners: [{ address: 127.0.0.1:0 }]\nadmin: { address: 127.0.0.1:0 }\nthreads: 2\nlog: { level: debug }\n";

it("lets in what the other gateway has signed, once and unchanged, and shows no key to anybody", async () => {
  const upstream = await serve(async (message) => {
    seen.push(message);
    return [200, "in"];
  });
  folder.write("public.pem", PUBLIC_PEM);
  folder.write("private.pem", PRIVATE_PEM);
  const env = { SHARED_SECRET: SECRET };
  const verifying = folder.write(
    "verify.yaml",
    `${START}upstreams: { api: { targets: ["http://127.0.0.1:${upstream}"] } }
consumers:
  - name: shop
    credentials:
      - { keyId: shared, hmacSecret: "\${env:SHARED_SECRET}" }
      - { keyId: pair, algorithm: ed25519, publicKey: "\${file:public.pem}" }
routes:
  - name: api
    match: { path: /* }
    pipeline:
      - { plugin: auth, methods: [{ signature: { requireNonce: true } }], identityHeaders: true }
    upstream: api
`,
  );
  await using verifier = await startCli(["--config", verifying], env);
  const between = await serve(async (message) => {
    passed.push(message);
    return send(verifier.url, meddle(message));
  });
  const signing = folder.write(
    "sign.yaml",
    `${START}upstreams: { partner: { targets: ["http://127.0.0.1:${between}/base"] } }
routes:
  - name: secret
    match: { path: /secret/* }
    stripPrefix: true
    pipeline: [{ plugin: sign, keyId: shared, hmacSecret: "\${env:SHARED_SECRET}" }]
    upstream: partner
  - name: pair
    match: { path: /pair/* }
    pipeline:
      - { plugin: sign, keyId: pair, algorithm: ed25519, privateKey: "\${file:private.pem}", tag: app }
    upstream: partner
  - name: unsigned
    match: { path: /unsigned/* }
    upstream: partner
`,
  );
  await using signer = await startCli(["--config", signing], env);
  const ask = async (path: string, init: RequestInit = {}): Promise<number> => {
    const reply = await fetch(signer.url + path, init);
    await reply.text();
    return reply.status;
  };
  const post = (body: string | ReadableStream): RequestInit =>
    ({ method: "POST", body, duplex: "half" }) as RequestInit;

  expect(await ask("/secret/orders?id=1&x=%2F")).toBe(200);
  expect(await ask("/secret/orders", post("one"))).toBe(200);
  expect(await ask("/pair/orders", post("two".repeat(100_000)))).toBe(200);
  expect(await ask("/pair/orders", post(new Blob(["chunked"]).stream()))).toBe(200);
  expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
    "GET /base/orders?id=1&x=%2F",
    "POST /base/orders",
    "POST /base/pair/orders",
    "POST /base/pair/orders",
  ]);
  expect(seen.map(({ body }) => body.length)).toEqual([0, 3, 300_000, 7]);
  for (const { headers } of seen) {
    const fields = new Headers(
      headers.flatMap((name, i): [string, string][] => (i % 2 === 0 ? [[name, headers[i + 1]!]] : [])),
    );
    expect(fields.get("x-consumer-name")).toBe("shop");
    expect(fields.has("signature") || fields.has("signature-input")).toBe(false);
  }

  expect(await ask("/unsigned/orders")).toBe(401);
  for (const message of passed.slice(0, 4)) expect((await send(verifier.url, message))[0]).toBe(401); // again
  const changes: ((message: Message) => Message)[] = [
    (message) => ({ ...message, method: "PUT" }),
    (message) => ({ ...message, url: "/base/others" }),
    (message) => ({ ...message, body: "two" }),
    (message) => ({ ...message, body: "" }),
    ({ headers, ...message }) => ({
      ...message,
      headers: headers.map((each) => each.replace("one", "two").replace(/^127\..*/, "example.com")),
    }),
    ({ headers, ...message }) => ({
      ...message,
      headers: headers.map((each) => each.replace('nonce="', 'nonce="x')),
    }),
    ({ headers, ...message }) => ({
      ...message,
      headers: headers.map((each) => each.replace('keyid="shared"', 'keyid="pair"')),
    }),
  ];
  for (const change of changes) {
    meddle = change;
    expect(await ask("/secret/orders", post("one"))).toBe(401);
  }
  expect(seen).toHaveLength(4);

  const shown: unknown[] = [];
  for (const cli of [signer, verifier] satisfies RunningCli[]) {
    for (const page of ["/metrics", "/admin/config", "/admin/stats"]) {
      shown.push(await (await fetch(cli.adminUrl + page)).text());
    }
  }
  for (const config of [signing, verifying]) {
    for (const args of [["check"], ["dump"], ["dump", "--effective"]]) {
      shown.push(await runCli([...args, "--config", config], { env }));
    }
  }
  await signer.stop();
  await verifier.stop();
  shown.push(signer.lines, signer.complaint, verifier.lines, verifier.complaint);
  const all = JSON.stringify(shown);
  expect(all).toContain("sluice_auth_requests_total");
  for (const secret of [SECRET, PRIVATE_PEM.split("\n")[1]!]) expect(all).not.toContain(secret);
});
