/** What goes wrong between the gateway and a target, as a code that clients and operators know. */
import { type ErrorCode, GatewayError } from "../errors.ts";
import { ConnectError } from "./connector.ts";

const CODES: Record<string, ErrorCode> = {
  SLUICE_POOL_CLOSED: "UPSTREAM_CONNECT_FAILED",
  EPROTO: "UPSTREAM_TLS_FAILED",
  SLUICE_QUEUE_TIMEOUT: "UPSTREAM_CONNECT_TIMEOUT",
  UND_ERR_HEADERS_TIMEOUT: "UPSTREAM_TIMEOUT",
  UND_ERR_BODY_TIMEOUT: "UPSTREAM_TIMEOUT",
  UND_ERR_HEADERS_OVERFLOW: "UPSTREAM_REPLY_INVALID",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "UPSTREAM_REPLY_INVALID",
  UND_ERR_INVALID_ARG: "REQUEST_INVALID",
  UND_ERR_NOT_SUPPORTED: "REQUEST_INVALID",
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: "REQUEST_INVALID",
};

/** undici's and the socket's errors as the gateway's; what is one already stays. */
export function toUpstreamFailure(error: Error): GatewayError {
  if (error instanceof GatewayError) return error;
  if (error instanceof ConnectError) return new GatewayError(connectCode(error), { cause: error });
  const { code = "" } = error as NodeJS.ErrnoException;
  if (error.name === "HTTPParserError") return new GatewayError("UPSTREAM_REPLY_INVALID", { cause: error });
  // 100 or 101 that nobody asked for: undici knows them by message alone.
  if (/^bad (response|upgrade)$/.test(error.message)) {
    return new GatewayError("UPSTREAM_REPLY_INVALID", { cause: error });
  }
  // TLS 1.3 tells of a client certificate that is missing only once the connection stands.
  const other = code.startsWith("ERR_SSL_") ? "UPSTREAM_TLS_FAILED" : "UPSTREAM_RESET";
  return new GatewayError(CODES[code] ?? other, { cause: error });
}

function connectCode({ isTimeout, step }: ConnectError): ErrorCode {
  if (isTimeout) return "UPSTREAM_CONNECT_TIMEOUT";
  return step === "handshake" ? "UPSTREAM_TLS_FAILED" : "UPSTREAM_CONNECT_FAILED";
}
