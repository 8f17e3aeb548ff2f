/** A DNS server over UDP whose records a test decides on. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type Answer, decode, encode } from "dns-packet";

type RecordType = "A" | "AAAA" | "SRV";

/** What the server says of a name and type: records, a response code, or nothing at all. */
export type DnsAnswer = readonly Answer[] | "NXDOMAIN" | "SERVFAIL" | "silence";

const RCODES = { NXDOMAIN: 3, SERVFAIL: 2 } as const;

export const a = (address: string, ttl = 60): Answer => ({ type: "A", name: "", ttl, data: address });

export const aaaa = (address: string, ttl = 60): Answer => ({ type: "AAAA", name: "", ttl, data: address });

export const srv = (target: string, port: number, priority = 0, weight = 0): Answer => ({
  type: "SRV",
  name: "",
  ttl: 60,
  data: { target, port, priority, weight },
});

export class DnsServer {
  readonly #socket = createSocket("udp4");
  readonly #answers = new Map<string, DnsAnswer>();
  #waiting: { question: string; resolve: () => void }[] = [];
  /** Questions that came, such as `A users.test`. */
  readonly asked: string[] = [];

  static async start(): Promise<DnsServer> {
    const server = new DnsServer();
    server.#socket.on("message", (message, { port, address }) => {
      const { id = 0, questions = [] } = decode(message);
      const { type, name } = questions[0]!;
      const question = `${type} ${name}`;
      server.asked.push(question);
      const answer = server.#answers.get(question) ?? server.#unknown(name);
      if (answer !== "silence") {
        const isCode = typeof answer === "string";
        const answers = isCode ? [] : answer.map((record) => ({ ...record, name }) as Answer);
        const flags = 0x0180 | (isCode ? RCODES[answer] : 0);
        server.#socket.send(encode({ type: "response", id, flags, questions, answers }), port, address);
      }
      const told = server.#waiting.filter((each) => each.question === question);
      server.#waiting = server.#waiting.filter((each) => each.question !== question);
      for (const { resolve } of told) resolve();
    });
    server.#socket.bind(0, "127.0.0.1");
    await once(server.#socket, "listening");
    return server;
  }

  /** Host and port, as `servers` has them. */
  get address(): string {
    return `127.0.0.1:${(this.#socket.address() as AddressInfo).port}`;
  }

  /** What is answered from now on. */
  set(type: RecordType, name: string, answer: DnsAnswer): void {
    this.#answers.set(`${type} ${name}`, answer);
  }

  /** The next time that this question comes. */
  next(type: RecordType, name: string): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ question: `${type} ${name}`, resolve }));
  }

  /** How often a question came. */
  count(type: RecordType, name: string): number {
    return this.asked.filter((each) => each === `${type} ${name}`).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.close(resolve));
  }

  /** A name with records of another type exists. */
  #unknown(name: string): DnsAnswer {
    const exists = [...this.#answers].some(
      ([key, value]) => key.endsWith(` ${name}`) && Array.isArray(value),
    );
    return exists ? [] : "NXDOMAIN";
  }
}
