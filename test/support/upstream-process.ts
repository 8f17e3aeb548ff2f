/** An upstream in a process of its own, that a test can kill, stop and start again on the same port. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

const SOURCE = `
const { createServer } = require("node:http");
const [port, name] = process.argv.slice(1);
const server = createServer({ keepAliveTimeout: 60000 }, (request, response) => {
  request.resume();
  request.on("end", () => response.setHeader("x-target", name).end(name));
});
server.listen(Number(port), "127.0.0.1", () => console.log(server.address().port));
`;

export class UpstreamProcess {
  readonly name: string;
  #port = 0;
  #child: ChildProcess | undefined;

  private constructor(name: string) {
    this.name = name;
  }

  /** Starts a process that answers every request with `name`. */
  static async start(name: string): Promise<UpstreamProcess> {
    const upstream = new UpstreamProcess(name);
    await upstream.start();
    return upstream;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Starts it again, where it was. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, ["-e", SOURCE, "--", String(this.#port), this.name], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#child = child;
    const [text] = (await once(child.stdout, "data")) as [Buffer];
    this.#port = Number(text.toString());
  }

  /** Ends it as a crash would: its connections are reset or closed at once. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  /** Stops it as an overloaded machine would: connections stay open, nothing is answered. */
  stall(): void {
    this.#child?.kill("SIGSTOP");
  }

  /** Ends a stall. */
  wake(): void {
    this.#child?.kill("SIGCONT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
