/** The check that opens a connection, with the TLS handshake where requests would have one. */
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Probe } from "./probe.ts";

export const tcpProbe: Probe = ({ address, tls }, signal) =>
  new Promise((resolve, reject) => {
    const socket = tls === undefined ? connectTcp(address) : connectTls({ ...address, ...tls });
    const abort = (): void => void socket.destroy();
    signal.addEventListener("abort", abort, { once: true });
    socket.once(tls === undefined ? "connect" : "secureConnect", () => {
      // Closed in turn: a target that is cut off in its handshake logs an error.
      socket.resume().end();
      resolve(undefined);
    });
    socket.on("error", reject);
    socket.on("close", () => {
      signal.removeEventListener("abort", abort);
      reject(new Error("the connection was closed"));
    });
  });
