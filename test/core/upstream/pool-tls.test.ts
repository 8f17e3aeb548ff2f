/** TLS to targets, against real servers. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import type { TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { TargetTlsConfig } from "../../../core/config/checked.ts";
import type { GatewayError } from "../../../core/errors.ts";
import { forward } from "../../../core/upstream/forward.ts";
import { Pool } from "../../../core/upstream/pool.ts";
import { createTlsContext, findTlsProblems } from "../../../core/upstream/tls.ts";
import {
  type Authority,
  type Certificate,
  createAuthority,
  createWeakCertificate,
} from "../../support/certificates.ts";
import { bodyText, exchange } from "../../support/harness.ts";
import { startRawUpstream, startUpstream } from "../../support/upstream.ts";
import { TempFolder } from "../config/temp-folder.ts";

let authority: Authority;
let other: Authority;
/** For 127.0.0.1, localhost and a.test. */
let leaf: Certificate;
let client: Certificate;

beforeAll(async () => {
  [authority, other] = await Promise.all([createAuthority(), createAuthority("Other CA")]);
  [leaf, client] = await Promise.all([
    authority.issue(["a.test", "localhost", "127.0.0.1"]),
    authority.issue(["gateway.test"]),
  ]);
});

interface Seen {
  readonly serverName: string | false | null;
  readonly reused: boolean;
  readonly protocol: string | null;
}

/** A server that keeps what it saw of each connection. */
async function startSecure(
  options: ServerOptions = {},
): Promise<{ port: number; seen: Seen[]; server: Server }> {
  const seen: Seen[] = [];
  const server = createServer({ cert: leaf.cert, key: leaf.key, ...options }, (request, response) => {
    response.end((request.socket as TLSSocket).getPeerCertificate().subject?.CN ?? "nobody");
  });
  server.on("secureConnection", (socket: TLSSocket & { servername: string | false | null }) => {
    seen.push({
      serverName: socket.servername,
      reused: socket.isSessionReused(),
      protocol: socket.getProtocol(),
    });
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { port: (server.address() as AddressInfo).port, seen, server };
}

/** Asks with these options; gives the text of the reply, or why there was none. */
function connectTo(origin: string, tls: Partial<TargetTlsConfig> = {}, connectTimeoutMs = 5000) {
  const pool = new Pool({
    origin,
    tls: { context: createTlsContext(tls), serverName: tls.serverName, verify: tls.verify ?? true },
    connections: 1,
    connectTimeoutMs,
    headersTimeoutMs: 5000,
    bodyTimeoutMs: 5000,
    keepAliveMs: 60_000,
    maxHeaderBytes: 16_384,
  });
  onTestFinished(() => pool.close());
  const to = { pool, basePath: "", host: "t", onStart() {}, onAnswered() {}, onEnd() {} };
  return async (headers: Record<string, string> = {}): Promise<string> => {
    try {
      return await bodyText(await forward(exchange({ headers }), to));
    } catch (error) {
      const { code, cause } = error as GatewayError;
      return `${code} ${(cause as NodeJS.ErrnoException).code}`;
    }
  };
}

describe("a target's certificate", () => {
  it("is taken when the authority is trusted and the name is right, for names and for addresses", async () => {
    const { port, seen } = await startSecure();
    expect(await connectTo(`https://127.0.0.1:${port}`, { ca: authority.cert })()).toBe("nobody");
    expect(await connectTo(`https://localhost:${port}`, { ca: authority.cert })()).toBe("nobody");
    expect(seen.map(({ serverName }) => serverName)).toEqual([false, "localhost"]);
  });

  it("is refused when nobody trusts its authority", async () => {
    const { port } = await startSecure();
    const origin = `https://127.0.0.1:${port}`;
    const refused = /^UPSTREAM_TLS_FAILED (UNABLE_TO_|SELF_SIGNED_CERT_IN_CHAIN)/;
    expect(await connectTo(origin, { ca: other.cert })()).toMatch(refused);
    expect(await connectTo(origin)()).toMatch(refused);
    expect(await connectTo(origin, { ca: `${other.cert}\n${authority.cert}` })()).toBe("nobody");
  });

  it("is refused when it is for another name or has expired", async () => {
    const elsewhere = await authority.issue(["b.test"]);
    const { port } = await startSecure(elsewhere);
    const ask = connectTo(`https://127.0.0.1:${port}`, { ca: authority.cert });
    for (let i = 0; i < 3; i++) expect(await ask()).toBe("UPSTREAM_TLS_FAILED ERR_TLS_CERT_ALTNAME_INVALID");

    const past = (days: number) => new Date(Date.now() - days * 86_400_000);
    const expired = await startSecure(await authority.issue(["127.0.0.1"], { from: past(9), to: past(2) }));
    const late = connectTo(`https://127.0.0.1:${expired.port}`, { ca: authority.cert });
    expect(await late()).toBe("UPSTREAM_TLS_FAILED CERT_HAS_EXPIRED");
  });

  it("is checked for `serverName`, which is told to the target", async () => {
    const { port, seen } = await startSecure();
    const origin = `https://127.0.0.1:${port}`;
    expect(await connectTo(origin, { ca: authority.cert, serverName: "a.test" })()).toBe("nobody");
    expect(seen[0]?.serverName).toBe("a.test");
    expect(await connectTo(origin, { ca: authority.cert, serverName: "b.test" })()).toBe(
      "UPSTREAM_TLS_FAILED ERR_TLS_CERT_ALTNAME_INVALID",
    );
  });

  it("is not checked for the Host that is sent, nor does that name or end a connection", async () => {
    const { port, seen } = await startSecure();
    const ask = connectTo(`https://127.0.0.1:${port}`, { ca: authority.cert });
    for (const host of ["evil.test", "a.test", "localhost"]) expect(await ask({ host })).toBe("nobody");
    expect(seen.map(({ serverName }) => serverName)).toEqual([false]);
    const wrong = connectTo(`https://127.0.0.1:${port}`, { ca: authority.cert, serverName: "b.test" });
    expect(await wrong({ host: "a.test" })).toMatch(/ALTNAME/);
  });

  it("is not checked with `verify: false`", async () => {
    const { port } = await startSecure();
    const tls = { ca: other.cert, serverName: "b.test", verify: false };
    expect(await connectTo(`https://127.0.0.1:${port}`, tls)()).toBe("nobody");
  });
});

describe("a client certificate", () => {
  it.each(["TLSv1.2", "TLSv1.3"] as const)("is shown where it is asked for, with %s", async (maxVersion) => {
    const { port } = await startSecure({ requestCert: true, ca: authority.cert, maxVersion });
    const origin = `https://127.0.0.1:${port}`;
    expect(await connectTo(origin, { ca: authority.cert, ...client })()).toBe("gateway.test");
    const without = connectTo(origin, { ca: authority.cert });
    expect(await without()).toMatch(/^UPSTREAM_TLS_FAILED (ERR_SSL_|EPROTO)/);
    const wrong = await other.issue(["gateway.test"]);
    const refused = await connectTo(origin, { ca: authority.cert, ...wrong })();
    // Node's servers say nothing when they drop a client whose certificate nobody trusts.
    expect(refused).toMatch(/^UPSTREAM_(TLS_FAILED|RESET) /);
  });
});

describe("the version of TLS", () => {
  it("is at least `minVersion`", async () => {
    const { port, seen } = await startSecure({ maxVersion: "TLSv1.2" });
    const origin = `https://127.0.0.1:${port}`;
    expect(await connectTo(origin, { ca: authority.cert, minVersion: "TLSv1.3" })()).toMatch(
      /^UPSTREAM_TLS_FAILED (ERR_SSL_|EPROTO)/,
    );
    expect(await connectTo(origin, { ca: authority.cert, minVersion: "TLSv1.2" })()).toBe("nobody");
    expect(seen.map(({ protocol }) => protocol)).toEqual(["TLSv1.2"]);
  });
});

describe("a handshake", () => {
  it.each(["TLSv1.2", "TLSv1.3"] as const)("is short when there was one before, with %s", async (version) => {
    const { port, seen, server } = await startSecure({ minVersion: version, maxVersion: version });
    const ask = connectTo(`https://127.0.0.1:${port}`, { ca: authority.cert });
    server.maxRequestsPerSocket = 1;
    for (let i = 0; i < 3; i++) expect(await ask()).toBe("nobody");
    expect(seen.map(({ reused }) => reused)).toEqual([false, true, true]);
  });

  it("is given up when it takes too long, and its connection with it", async () => {
    const closed = Promise.withResolvers<void>();
    await using silent = await startRawUpstream((socket) => {
      socket.resume();
      socket.on("close", () => closed.resolve());
    });
    const ask = connectTo(`https://127.0.0.1:${silent.port}`, { ca: authority.cert }, 30);
    expect(await ask()).toBe("UPSTREAM_CONNECT_TIMEOUT ETIMEDOUT");
    await closed.promise;
  });

  it("fails with a target that does not speak TLS", async () => {
    await using plain = await startUpstream();
    const ask = connectTo(plain.url.replace("http:", "https:"), { ca: authority.cert });
    expect(await ask()).toMatch(/^UPSTREAM_TLS_FAILED /);
  });
});

describe("without a CA", () => {
  it("the system's authorities are trusted", async () => {
    const { port } = await startSecure();
    const folder = new TempFolder();
    onTestFinished(() => folder.remove());
    const program = `
      import { connect } from "node:tls";
      import { createTlsContext } from ${JSON.stringify(resolve("core/upstream/tls.ts"))};
      const socket = connect({ host: "127.0.0.1", port: ${port}, secureContext: createTlsContext() });
      socket.on("error", (error) => console.log(error.code));
      socket.on("secureConnect", () => socket.end(console.log("trusted")));`;
    // Read once a process, so in processes of their own.
    const run = async (ca: string): Promise<string> => {
      const env = { SSL_CERT_FILE: folder.write("system.pem", ca), SSL_CERT_DIR: folder.path };
      return (await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], { env }))
        .stdout;
    };
    expect(await run(authority.cert)).toBe("trusted\n");
    expect(await run(other.cert)).toMatch(/^UNABLE_TO_/);
  });
});

describe("options of TLS that cannot be used", () => {
  const problems = (tls: Partial<TargetTlsConfig>) =>
    findTlsProblems({ verify: true, minVersion: "TLSv1.2", ...tls }).map((p) => [p.pointer, p.message]);

  it("are none for good ones, and for text around them", () => {
    expect(problems({})).toEqual([]);
    const ca = `# one\n${authority.cert.trimEnd()}\r\n\n# two\n${other.cert}`;
    expect(problems({ ca, ...leaf, serverName: "a.test" })).toEqual([]);
  });

  it("are certificates that OpenSSL refuses, found before anything serves", async () => {
    expect(problems(await createWeakCertificate())).toEqual([
      ["/tls/cert", "OpenSSL refuses this certificate: ee key too small"],
    ]);
  });

  it.each<[string, () => Partial<TargetTlsConfig>, string, RegExp]>([
    ["a CA that is no PEM", () => ({ ca: "hello" }), "/tls/ca", /not a PEM certificate/],
    ["a key as the CA", () => ({ ca: leaf.key }), "/tls/ca", /not a PEM certificate/],
    [
      "a CA that is damaged",
      () => ({ ca: authority.cert.replace(/\n[A-Za-z0-9+/]{20}/, "\nAAAAAAAAAAAAAAAAAAAA") }),
      "/tls/ca",
      /^The certificate cannot be read$/,
    ],
    [
      "one damaged CA of two",
      () => ({ ca: `${other.cert}\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----` }),
      "/tls/ca",
      /^Certificate 2 of 2 cannot be read$/,
    ],
    [
      "two CAs on one line",
      () => ({ ca: authority.cert.trimEnd() + other.cert }),
      "/tls/ca",
      /on a line of its own/,
    ],
    [
      "a certificate that is none",
      () => ({ cert: "x", key: leaf.key }),
      "/tls/cert",
      /not a PEM certificate/,
    ],
    ["a key that is none", () => ({ cert: leaf.cert, key: "secret" }), "/tls/key", /not a PEM private key/],
    ["a key of another", () => ({ cert: leaf.cert, key: client.key }), "/tls/key", /does not belong/],
    [
      "a key with a passphrase",
      () => ({ cert: leaf.cert, key: leaf.key.replaceAll("PRIVATE", "ENCRYPTED PRIVATE") }),
      "/tls/key",
      /encrypted/,
    ],
    ["an address as the name", () => ({ serverName: "127.0.0.1" }), "/tls/serverName", /host name/],
  ])("are told of, and not shown: %s", (_what, tls, pointer, message) => {
    const found = problems(tls());
    expect(found).toEqual([[pointer, expect.stringMatching(message)]]);
    expect(JSON.stringify(found)).not.toContain("secret");
  });
});
