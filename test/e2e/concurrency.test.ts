/** The concurrency plugin in a whole gateway: places, the queue, clients that give up. */
import { type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { proxyTo, startGateway } from "../support/gateway.ts";
import { type ServerResponse, startUpstream } from "../support/upstream.ts";

/** An upstream whose requests wait until they are answered, and a way to wait for them. */
async function startSlow() {
  const held: ServerResponse[] = [];
  let arrived = (): void => {};
  const upstream = await startUpstream((_request, response) => {
    held.push(response);
    arrived();
  });
  return {
    upstream,
    held,
    /** Resolves when so many requests have come in all. */
    async reached(count: number): Promise<void> {
      while (held.length < count) await new Promise<void>((resolve) => (arrived = resolve));
    },
    [Symbol.asyncDispose]: upstream.close,
  };
}

const limited = (url: string, options: object): object =>
  proxyTo(url, { pipeline: [{ plugin: "concurrency", ...options }] }, { admin: { address: "127.0.0.1:0" } });

/** A client on a connection of its own. */
class Client {
  readonly #request: ClientRequest;
  /** Its reply's head; never settles for a client that went away. */
  readonly reply: Promise<IncomingMessage>;

  constructor(url: string) {
    this.#request = httpRequest(url, { agent: false });
    this.reply = new Promise((resolve) => void this.#request.once("response", resolve));
    this.#request.on("error", () => {});
    this.#request.end();
  }

  async status(): Promise<number | undefined> {
    return (await this.reply).statusCode;
  }

  goAway(): void {
    this.#request.destroy();
  }
}

const send = (url: string, path = "/"): Client => new Client(url + path);

/** Asks for the metrics until a gauge has a value: what a client does shows a moment later. */
async function gaugeIs(adminUrl: string, name: string, value: number): Promise<void> {
  for (;;) {
    const metrics = await (await fetch(`${adminUrl}/metrics`)).text();
    if (new RegExp(`^${name}\\{route="all",stage="concurrency"\\} ${value}$`, "m").test(metrics)) return;
  }
}

describe("concurrency", () => {
  it("keeps requests in a queue until there is room, and refuses the rest with 503", async () => {
    await using slow = await startSlow();
    await using gateway = await startGateway(
      limited(slow.upstream.url, { max: 2, queue: 1, queueTimeout: "60s", retryAfter: "7s" }),
    );
    const inside = [send(gateway.url), send(gateway.url)];
    await slow.reached(2);
    const waiting = send(gateway.url);
    await gaugeIs(gateway.adminUrl!, "sluice_concurrency_queued", 1);

    const refused = await fetch(gateway.url);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "7"]);
    expect(await refused.json()).toMatchObject({ code: "CONCURRENCY_LIMITED", status: 503 });
    expect(slow.held).toHaveLength(2);

    slow.held[0]!.end("done");
    await slow.reached(3);
    for (const response of slow.held.slice(1)) response.end("done");
    for (const request of [...inside, waiting]) expect(await request.status()).toBe(200);
    await gaugeIs(gateway.adminUrl!, "sluice_concurrency_in_flight", 0);
    const code = await gateway.logged((line) => line["code"] === "CONCURRENCY_LIMITED");
    expect(code).toMatchObject({ msg: "request", status: 503 });
    expect(gateway.lines.filter(({ level }) => level === "warn")).toEqual([]);
  });

  it("holds the place while the reply's body is sent", async () => {
    await using slow = await startSlow();
    await using gateway = await startGateway(limited(slow.upstream.url, { max: 1 }));
    const first = send(gateway.url);
    await slow.reached(1);
    slow.held[0]!.write("some");
    const reply = await first.reply;
    expect(reply.statusCode).toBe(200);
    expect((await fetch(gateway.url)).status).toBe(503);
    slow.held[0]!.end("thing");
    expect(await text(reply)).toBe("something");
    await gaugeIs(gateway.adminUrl!, "sluice_concurrency_in_flight", 0);
  });

  it("frees the place, or the place in the queue, of a client that goes away", async () => {
    await using slow = await startSlow();
    await using gateway = await startGateway(
      limited(slow.upstream.url, { max: 1, queue: 2, queueTimeout: "60s" }),
    );
    const inside = send(gateway.url, "/inside");
    await slow.reached(1);
    const quitter = send(gateway.url, "/quitter");
    await gaugeIs(gateway.adminUrl!, "sluice_concurrency_queued", 1);
    const patient = send(gateway.url, "/patient");
    await gaugeIs(gateway.adminUrl!, "sluice_concurrency_queued", 2);
    quitter.goAway();
    await gaugeIs(gateway.adminUrl!, "sluice_concurrency_queued", 1);
    inside.goAway();
    await slow.reached(2);
    expect(slow.held[1]!.req.url).toBe("/patient");
    slow.held[1]!.end();
    expect(await patient.status()).toBe(200);
    await gaugeIs(gateway.adminUrl!, "sluice_concurrency_in_flight", 0);
  });

  it("refuses those who waited too long", async () => {
    await using slow = await startSlow();
    await using gateway = await startGateway(
      limited(slow.upstream.url, { max: 1, queue: 1, queueTimeout: "1ms" }),
    );
    const inside = send(gateway.url);
    await slow.reached(1);
    const reply = await fetch(gateway.url);
    expect(reply.status).toBe(503);
    expect(await reply.json()).toMatchObject({
      code: "CONCURRENCY_LIMITED",
      detail: expect.stringContaining("wait") as string,
    });
    slow.held[0]!.end();
    expect(await inside.status()).toBe(200);
  });

  it("counts an exchange once below a stage that tries again, whatever became of its attempts", async () => {
    const answers = ["reset", 503, 200];
    await using upstream = await startUpstream((request, response) => {
      const answer = answers.shift() ?? 200;
      if (typeof answer === "string") request.socket.destroy();
      else response.writeHead(answer).end("x");
    });
    const retry = { plugin: "retry", attempts: 3, backoff: { base: "1ms", max: "1ms" } };
    await using gateway = await startGateway(
      proxyTo(
        upstream.url,
        { pipeline: [retry, { plugin: "concurrency", max: 1 }] },
        { admin: { address: "127.0.0.1:0" } },
      ),
    );
    expect((await fetch(gateway.url)).status).toBe(200);
    expect(answers).toEqual([]);
    await gaugeIs(gateway.adminUrl!, "sluice_concurrency_in_flight", 0);
    expect((await fetch(gateway.url)).status).toBe(200);
  });

  it("goes on counting across a reload", async () => {
    await using slow = await startSlow();
    await using gateway = await startGateway(limited(slow.upstream.url, { max: 1 }));
    const inside = send(gateway.url);
    await slow.reached(1);
    expect(await gateway.reload(limited(slow.upstream.url, { max: 1, retryAfter: "9s" }))).toMatchObject({
      result: "activated",
    });
    const refused = await fetch(gateway.url);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "9"]);
    slow.held[0]!.end();
    expect(await inside.status()).toBe(200);
    await gaugeIs(gateway.adminUrl!, "sluice_concurrency_in_flight", 0);
  });
});
