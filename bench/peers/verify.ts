/**
 * Makes sure that a contender is a proxy before it is measured: right replies, large bodies both ways, connections to
 * the upstream that are used again, the header edits that it says it makes, and replies from a cache where it says that
 * it has one, and nowhere else.
 */
import { request } from "node:http";
import { buffer } from "node:stream/consumers";
import { Connection } from "../support/keep-alive.ts";
import { BODY_BYTES } from "../support/upstream.ts";
import type { Contender } from "./contender.ts";
import { CACHEABLE, LARGE_BODIES } from "./upstream.ts";

/** What `/echo` says of a request that has reached the upstream. */
export interface Echo {
  /** Differs from request to request. */
  request: string;
  /** Number of the connection. */
  connection: string;
  revision: string;
  tenant: string;
  source: string;
  /** X-Forwarded-For. */
  forwarded: string;
}

export interface Verified {
  /** True when the upstream is told whose request it is by `X-Forwarded-For`. */
  tellsClient: boolean;
}

const ECHOES = 20;

function expect(isRight: boolean, what: string): void {
  if (!isRight) throw new Error(what);
}

/** @throws Error that says what is not as it should be */
export async function verify(contender: Contender, url: string): Promise<Verified> {
  const isCaching = contender.variant === "cached";
  const isEditing = contender.variant !== undefined && !isCaching;
  const connection = await Connection.open(url);
  try {
    const plain = await connection.get("/users/17?verbose=1");
    expect(plain.status === 200, `status ${plain.status}: ${plain.body.slice(0, 200)}`);
    expect(plain.body === "x".repeat(BODY_BYTES), `a body of ${plain.body.length} bytes`);
    const requests = new Set<string>();
    const used = new Set<string>();
    let last: Echo | undefined;
    for (let i = 0; i < ECHOES; i++) {
      const { status, head, body } = await connection.get("/echo");
      expect(status === 200, `status ${status} of /echo`);
      last = JSON.parse(body) as Echo;
      requests.add(last.request);
      used.add(last.connection);
      if (isEditing) expect(/\r\nx-served-by: \w/i.test(head), "no x-served-by in the reply");
    }
    expect(requests.size === ECHOES, `${ECHOES} requests, of which ${requests.size} came to the upstream`);
    expect(used.size <= 3, `${ECHOES} requests took ${used.size} connections to the upstream`);
    if (isEditing) {
      expect(last!.tenant === "acme" && last!.source === "gateway", `upstream saw ${JSON.stringify(last)}`);
    }
    await verifyCache(connection, isCaching);
    await verifyBodies(url);
    return { tellsClient: last!.forwarded !== "" };
  } finally {
    connection.close();
  }
}

async function verifyCache(connection: Connection, isCaching: boolean): Promise<void> {
  const validators = new Set<string | undefined>();
  for (let i = 0; i < ECHOES; i++) {
    const { status, head, body } = await connection.get(CACHEABLE);
    expect(status === 200 && body.length === BODY_BYTES, `status ${status} of ${CACHEABLE}`);
    validators.add(/\r\netag: (\S+)/i.exec(head)?.[1]);
  }
  const what = `${ECHOES} requests for one thing got ${validators.size} replies of the upstream`;
  expect(validators.size === (isCaching ? 1 : ECHOES) && !validators.has(undefined), what);
}

async function verifyBodies(url: string): Promise<void> {
  for (const [name, bytes] of Object.entries(LARGE_BODIES)) {
    const down = await send("GET", `${url}/bytes/${bytes}`);
    expect(down.length === bytes, `${down.length} bytes of a reply of ${name}`);
    // What the upstream counts includes the head of the request, and the frame of chunks.
    const up = Number(await send("POST", `${url}/upload`, Buffer.alloc(bytes, "x")));
    expect(up >= bytes && up < bytes * 1.1, `${up} bytes of a request of ${name} reached the upstream`);
  }
}

function send(method: string, url: string, body?: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    request(url, { method, headers: { "content-length": body?.length ?? 0 } }, async (response) => {
      const received = await buffer(response).catch(reject);
      if (received === undefined) return;
      if (response.statusCode === 200) resolve(received);
      else reject(new Error(`${method} ${new URL(url).pathname}: status ${response.statusCode}`));
    })
      .on("error", reject)
      .end(body);
  });
}
