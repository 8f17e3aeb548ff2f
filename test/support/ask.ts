/** A request on a connection of its own. */
import { once } from "node:events";
import { connect } from "node:net";

/** Its reply, whole. @throws Error when it cannot be sent */
export async function ask(url: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  socket.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
  return Buffer.concat((await socket.toArray()) as Buffer[]).toString();
}
