/** Ten thousand wrong credentials at once: what is dear is done for a bounded number, and nobody else waits for it. */
import type * as Crypto from "node:crypto";
import { hash } from "node:crypto";
import { beforeEach, expect, it, vi } from "vitest";
import { Consumers } from "../../../core/consumers.ts";
import { type Exchange, GatewayError, type Handler, textReply } from "../../../core/plugin.ts";
import { auth } from "../../../plugins/auth.ts";
import { buildStage, exchange, FakeHost, type RequestInit } from "../../support/harness.ts";

/** Stands for the real one, which takes tens of milliseconds in a thread of Node's pool. */
const work = vi.hoisted(() => ({ begun: 0, atOnce: 0, mostAtOnce: 0 }));
vi.mock("node:crypto", async (original) => {
  const crypto = await original<typeof Crypto>();
  const scrypt = (
    password: string,
    salt: Buffer,
    length: number,
    _: object,
    done: (error: null, key: Buffer) => void,
  ) => {
    work.begun++;
    work.mostAtOnce = Math.max(work.mostAtOnce, ++work.atOnce);
    setImmediate(() => {
      work.atOnce--;
      const digest = crypto.createHash("sha256").update(password).update(salt).digest();
      done(null, digest.subarray(0, length));
    });
  };
  return { ...crypto, scrypt };
});

const FLOOD = 10_000;
const PASSWORD = "right";
const KEY = "shop_1_a key that somebody could guess";
const salt = Buffer.alloc(16, "salt");

function hashOf(secret: string): string {
  const unpadded = (bytes: Buffer): string => bytes.toString("base64").replaceAll("=", "");
  const digest = hash("sha256", Buffer.concat([Buffer.from(secret), salt]), "buffer");
  return `$scrypt$ln=15,r=8,p=3$${unpadded(salt)}$${unpadded(digest)}`;
}

const basic = (name: string, password: string): RequestInit => ({
  headers: { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}` },
});
const apiKey = (key: string): RequestInit => ({ headers: { "x-api-key": key } });

let handler: Handler;

beforeEach(async () => {
  Object.assign(work, { begun: 0, mostAtOnce: 0 });
  const host = new FakeHost();
  host.consumers = new Consumers([
    {
      name: "shop",
      roles: [],
      apiKeys: [{ id: "plain", sha256: hash("sha256", "a plain key that is long") }],
      hashedKeys: [{ id: "hashed", prefix: "shop_1_", keyHash: hashOf(KEY) }],
      passwords: [{ id: "alice", username: "alice", passwordHash: hashOf(PASSWORD) }],
    },
  ]);
  handler = await buildStage(auth, { methods: ["basic", "apiKey"] }, () => textReply(200, "in"), host);
});

async function ask(request: RequestInit): Promise<number> {
  try {
    return (await handler(exchange(request))).status;
  } catch (error) {
    if (error instanceof GatewayError) return error.status;
    throw error;
  }
}

/** Sends them all at once and gives how often there was which status. */
async function flood(request: (i: number) => RequestInit): Promise<Record<number, number>> {
  const statuses: Record<number, number> = {};
  const all = Array.from({ length: FLOOD }, (_, i) => ask(request(i)));
  for (const status of await Promise.all(all)) statuses[status] = (statuses[status] ?? 0) + 1;
  return statuses;
}

it.each<[string, (i: number) => RequestInit]>([
  ["passwords of somebody", (i) => basic("alice", `wrong ${i}`)],
  ["names that nobody has", (i) => basic(`nobody ${i}`, "wrong")],
  ["keys that begin as one that is hashed", (i) => apiKey(`shop_1_${i}`)],
])("looks at few of very many %s, one at a time, and cannot tell for the others", async (_, request) => {
  expect(await flood(request)).toEqual({ 401: 50, 503: FLOOD - 50 });
  expect(work).toMatchObject({ begun: 50, mostAtOnce: 1 });
});

it("looks at a wrong password once, however often it comes", async () => {
  expect(await flood(() => basic("alice", "wrong"))).toEqual({ 401: FLOOD });
  expect(await ask(basic("alice", "wrong"))).toBe(401);
  expect(work.begun).toBe(1);
});

it("does nothing dear for keys that begin as none, nor for what is no password", async () => {
  expect(await flood((i) => apiKey(`a wrong key ${i}`))).toEqual({ 401: FLOOD });
  expect(await flood((i) => basic("alice", "x".repeat(1024 + i)))).toEqual({ 401: FLOOD });
  expect(work.begun).toBe(0);
});

it("lets those in at once meanwhile whose password it has seen, or whose key is not hashed", async () => {
  expect(await ask(basic("alice", PASSWORD))).toBe(200);
  expect(await ask(apiKey(KEY))).toBe(200);
  const flooded = flood((i) => basic("alice", `wrong ${i}`));
  const begun = work.begun;
  for (const request of [basic("alice", PASSWORD), apiKey(KEY), apiKey("a plain key that is long")]) {
    const answer = handler(exchange(request) as Exchange);
    expect(answer).not.toBeInstanceOf(Promise);
  }
  expect(work.begun).toBe(begun);
  // Whoever is new waits for a place as all the others.
  expect(await ask(basic("alice", "another"))).toBe(503);
  await flooded;
  expect(await ask(basic("alice", "another"))).toBe(401);
});

it("gives the event loop its turn between any two of them", async () => {
  let turns = 0;
  let isOver = false;
  const turn = (): void => {
    turns++;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  await flood((i) => basic("alice", `wrong ${i}`));
  isOver = true;
  expect(turns).toBeGreaterThanOrEqual(50);
});
