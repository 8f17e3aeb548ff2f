/**
 * Makes sure that a contender is a proxy before it is measured: right replies, large bodies both ways, connections to
 * the upstream that are used again, and the header edits that it says it makes.
 */
import { request } from "node:http";
import { buffer } from "node:stream/consumers";
import { Connection } from "../support/keep-alive.ts";
import { BODY_BYTES } from "../support/upstream.ts";
import type { Contender } from "./contender.ts";
import { LARGE_BODIES } from "./upstream.ts";

/** What `/echo` says of a request that has reached the upstream. */
export interface Echo {
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
  const connection = await Connection.open(url);
  try {
    const plain = await connection.get("/users/17?verbose=1");
    expect(plain.status === 200, `status ${plain.status}: ${plain.body.slice(0, 200)}`);
    expect(plain.body === "x".repeat(BODY_BYTES), `a body of ${plain.body.length} bytes`);
    const used = new Set<string>();
    let last: Echo | undefined;
    for (let i = 0; i < ECHOES; i++) {
      const { status, head, body } = await connection.get("/echo");
      expect(status === 200, `status ${status} of /echo`);
      last = JSON.parse(body) as Echo;
      used.add(last.connection);
      if (contender.edits) expect(/\r\nx-served-by: \w/i.test(head), "no x-served-by in the reply");
    }
    expect(used.size <= 3, `${ECHOES} requests took ${used.size} connections to the upstream`);
    if (contender.edits) {
      expect(last!.tenant === "acme" && last!.source === "gateway", `upstream saw ${JSON.stringify(last)}`);
    }
    await verifyBodies(url);
    return { tellsClient: last!.forwarded !== "" };
  } finally {
    connection.close();
  }
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
