/**
 * Every failure a client or an operator can meet, in one table: a stable code, the HTTP status, and the
 * sentence a client may see. Third-party errors are mapped to a code at the door where they come in, with
 * the cause kept for the log. Rendered as problem+json (RFC 9457).
 */

/** What a client may be told about a failure, by code. `docs/errors.md` documents each. */
export const ERRORS = {
  REQUEST_INVALID: { status: 400, title: "The request is not valid HTTP" },
  REQUEST_TARGET_INVALID: { status: 400, title: "The request target is not valid" },
  HOST_INVALID: { status: 400, title: "The request needs exactly one valid Host" },
  TRANSFER_ENCODING_INVALID: { status: 400, title: "The Transfer-Encoding is not valid" },
  TRANSFER_ENCODING_UNSUPPORTED: { status: 501, title: "The Transfer-Encoding is not supported" },
  METHOD_UNSUPPORTED: { status: 501, title: "The method is not supported" },
  VERSION_UNSUPPORTED: { status: 505, title: "The HTTP version is not supported" },
  EXPECTATION_FAILED: { status: 417, title: "The expectation cannot be met" },
  REQUEST_TIMEOUT: { status: 408, title: "The request took too long to arrive" },
  HEADERS_TOO_LARGE: { status: 431, title: "The request headers are too large" },
  BODY_TOO_LARGE: { status: 413, title: "The request body is too large" },
  BODY_INVALID: { status: 400, title: "The request body could not be read" },
  BODY_NOT_JSON: { status: 400, title: "The request body is not valid JSON" },
  BODY_ENCODING_UNSUPPORTED: { status: 415, title: "The request body's encoding is not supported" },
  ROUTE_NOT_FOUND: { status: 404, title: "No route matches the request" },
  METHOD_NOT_ALLOWED: { status: 405, title: "The method is not allowed here" },
  VALIDATION_FAILED: { status: 400, title: "The request is not what is expected here" },
  CONTENT_TYPE_UNSUPPORTED: { status: 415, title: "The request body is of a type that is not taken here" },
  OPERATION_NOT_FOUND: { status: 404, title: "The API has nothing at this path" },
  GRANT_INVALID: { status: 400, title: "The user, the password or the token is not valid" },
  LOGIN_FAILED: { status: 400, title: "The login did not succeed" },
  LOGIN_DENIED: { status: 403, title: "The login was refused" },
  UNAUTHENTICATED: { status: 401, title: "It is not known who asks" },
  FORBIDDEN: { status: 403, title: "The client may not do this" },
  IP_DENIED: { status: 403, title: "The client's address is not allowed" },
  CSRF_FAILED: { status: 403, title: "The request may have been made by a page of another site" },
  CLIENT_DENIED: { status: 403, title: "The client is not allowed here" },
  RATE_LIMITED: { status: 429, title: "Too many requests" },
  CLIENT_BANNED: { status: 429, title: "Too many requests were refused; none is let in for now" },
  CLIENT_CLOSED: { status: 499, title: "The client went away" },
  UPSTREAM_CONNECT_FAILED: { status: 502, title: "The upstream could not be reached" },
  UPSTREAM_TLS_FAILED: { status: 502, title: "The upstream could not be reached by TLS" },
  UPSTREAM_RESET: { status: 502, title: "The upstream broke the connection" },
  UPSTREAM_REPLY_INVALID: { status: 502, title: "The upstream's reply is not valid HTTP" },
  UPSTREAM_BODY_TOO_LARGE: { status: 502, title: "The upstream's body is too large to read" },
  UPSTREAM_BODY_INVALID: { status: 502, title: "The upstream's body could not be read" },
  UPSTREAM_UNAVAILABLE: { status: 503, title: "No target of the upstream is available" },
  CIRCUIT_OPEN: { status: 503, title: "The upstream failed too often and is not asked for now" },
  CONCURRENCY_LIMITED: { status: 503, title: "Too many requests are under way" },
  OVERLOADED: { status: 503, title: "The gateway is overloaded" },
  AUTH_UNAVAILABLE: { status: 503, title: "It cannot be found out who asks now" },
  TOKEN_UNAVAILABLE: { status: 503, title: "The gateway has no token for the upstream now" },
  STORE_UNAVAILABLE: { status: 503, title: "The store could not be asked" },
  NOT_READY: { status: 503, title: "The gateway is not ready" },
  UPSTREAM_CONNECT_TIMEOUT: { status: 504, title: "The upstream did not accept a connection in time" },
  UPSTREAM_TIMEOUT: { status: 504, title: "The upstream did not reply in time" },
  DEADLINE_EXCEEDED: { status: 504, title: "The request took longer than it may" },
  NOT_CACHED: { status: 504, title: "What is asked for is not stored, and the upstream is not to be asked" },
  HEADER_INVALID: { status: 500, title: "A stage produced an invalid header" },
  SCRIPT_TIMEOUT: { status: 500, title: "A script ran for too long" },
  SCRIPT_MEMORY: { status: 500, title: "A script took too much memory" },
  SCRIPT_THREW: { status: 500, title: "A script failed" },
  SCRIPT_OUTPUT: { status: 500, title: "A script gave back what cannot be used" },
  SCRIPT_QUARANTINED: { status: 500, title: "A script failed too often and is not run for now" },
  STAGE_FAILED: { status: 500, title: "A stage of the pipeline failed" },
  STORE_VALUE_INVALID: { status: 500, title: "A stage asked for what a store cannot do" },
  INTERNAL: { status: 500, title: "The gateway failed" },
} as const satisfies Record<string, { status: number; title: string }>;

/** A stable error code, as found in replies, logs and metrics. */
export type ErrorCode = keyof typeof ERRORS;

/** Options of a {@link GatewayError}. */
export interface GatewayErrorOptions {
  /** A sentence for the client; it must not contain secrets. */
  detail?: string;
  /** What the problem's body says beside the usual (RFC 9457 section 3.2): `{ errors: […] }`; no secrets. */
  members?: Readonly<Record<string, unknown>>;
  /** Headers to add to the reply, flat `[name, value, …]`. */
  headers?: readonly string[];
  /** What happened underneath; logged, never sent. */
  cause?: unknown;
}

/** A failure with a code of {@link ERRORS}. Stages throw it; the server renders it. */
export class GatewayError extends Error {
  override readonly name = "GatewayError";
  readonly code: ErrorCode;
  readonly detail: string | undefined;
  readonly headers: readonly string[];
  readonly members: GatewayErrorOptions["members"];

  constructor(code: ErrorCode, options: GatewayErrorOptions = {}) {
    super(
      options.detail ?? ERRORS[code].title,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = code;
    this.detail = options.detail;
    this.headers = options.headers ?? [];
    this.members = options.members;
  }

  /** The HTTP status of the reply. */
  get status(): number {
    return ERRORS[this.code].status;
  }
}

/** Turns anything thrown into a {@link GatewayError}: unknown errors become `fallback` with the cause kept. */
export function toGatewayError(error: unknown, fallback: ErrorCode = "INTERNAL"): GatewayError {
  return error instanceof GatewayError ? error : new GatewayError(fallback, { cause: error });
}

/**
 * True for failures of who was asked: not of the client, not of the gateway and its stages, which may refuse a good
 * reply, and not of finding somebody to ask.
 */
export function isUpstreamFailure(error: unknown): error is GatewayError {
  if (!(error instanceof GatewayError)) return false;
  const { code } = error;
  return (
    code.startsWith("UPSTREAM_") && !code.startsWith("UPSTREAM_BODY_") && code !== "UPSTREAM_UNAVAILABLE"
  );
}

/** The body of a problem+json reply (RFC 9457 section 3.1). */
export function problemBody(
  code: ErrorCode,
  detail?: string,
  requestId?: string,
  members?: GatewayErrorOptions["members"],
): string {
  const { status, title } = ERRORS[code];
  const usual = { type: `urn:sluice:error:${code}`, title, status, detail, code, requestId };
  return `${JSON.stringify({ ...members, ...usual })}\n`;
}

/** What is wrong at one place of a configuration. */
export interface Problem {
  /** Stable code, `CONFIG_…`; `docs/errors.md` documents each. */
  code: string;
  /** One sentence; never a secret. */
  message: string;
  /** JSON Pointer to the value, relative to whatever raised it. */
  pointer: string;
  /** True when the problem is the key itself and not its value. */
  atKey?: boolean;
  /** What to write instead, if something near is known. */
  suggestion?: string;
}

/** A configuration that cannot be used. Plugins throw it from `build` with pointers relative to their options. */
export class ConfigError extends Error {
  override readonly name: string = "ConfigError";
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[] | string, pointer = "", code = "CONFIG_OPTION_INVALID") {
    const list = typeof problems === "string" ? [{ code, message: problems, pointer }] : problems;
    super(list.map((p) => p.message).join("\n"));
    this.problems = list;
  }
}
