/** An upstream that sends what a test tells it to, be it HTTP or not. */
import type { Socket } from "node:net";
import { startRawUpstream } from "./upstream.ts";

export interface ScriptedUpstream {
  readonly url: string;
  readonly port: number;
  /** Heads of the requests that came, without their empty line. */
  readonly heads: string[];
  /** Connections that were made. */
  readonly sockets: Socket[];
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts an upstream.
 * @param onHead called per request head; a text is sent as it is, Latin-1
 */
export async function startScriptedUpstream(
  onHead: (head: string, socket: Socket, nth: number) => unknown,
): Promise<ScriptedUpstream> {
  const heads: string[] = [];
  const sockets: Socket[] = [];
  const upstream = await startRawUpstream((socket) => {
    sockets.push(socket);
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      for (;;) {
        const end = text.indexOf("\r\n\r\n");
        if (end === -1) return;
        const head = text.slice(0, end);
        text = text.slice(end + 4);
        if (!/^[A-Z]+ \S+ HTTP\/1\.1\r\n/.test(head)) return; // a piece of a body
        heads.push(head);
        const reply = onHead(head, socket, heads.length);
        if (typeof reply === "string") socket.write(reply, "latin1");
      }
    });
  });
  return { ...upstream, heads, sockets };
}
