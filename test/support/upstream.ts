/** Real upstreams on random ports: one that answers as told, and one that speaks raw bytes. */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server as TcpServer,
  type Socket,
} from "node:net";

/** A request as an upstream saw it, body included. */
export interface SeenRequest {
  method: string;
  url: string;
  rawHeaders: string[];
  headers: IncomingMessage["headers"];
  body: Buffer;
}

export interface TestUpstream {
  readonly url: string;
  readonly port: number;
  /** Requests whose body came whole, when the default handler is used. */
  readonly seen: SeenRequest[];
  readonly server: Server;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const listen = (server: Server | TcpServer, port = 0): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });

/**
 * Starts an HTTP upstream.
 * @param handler by default records the request in `seen` and answers 200 with what it saw as JSON
 */
export async function startUpstream(handler?: RequestListener, port = 0): Promise<TestUpstream> {
  const seen: SeenRequest[] = [];
  const record: RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("error", () => {});
    request.on("end", () => {
      const { method = "", url = "", rawHeaders, headers } = request;
      const body = Buffer.concat(chunks);
      seen.push({ method, url, rawHeaders, headers, body });
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ method, url, headers, body: body.toString() }));
    });
  };
  const server = createServer({ keepAliveTimeout: 60_000 }, handler ?? record);
  const bound = await listen(server, port);
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${bound}`, port: bound, seen, server, close, [Symbol.asyncDispose]: close };
}

/** Starts an upstream that handles sockets itself, for replies that are not HTTP. */
export async function startRawUpstream(
  onSocket: (socket: Socket) => void,
): Promise<{ url: string; port: number; close(): Promise<void>; [Symbol.asyncDispose](): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    onSocket(socket);
  });
  const port = await listen(server);
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${port}`, port, close, [Symbol.asyncDispose]: close };
}

export type { IncomingMessage, RequestListener, ServerResponse };
