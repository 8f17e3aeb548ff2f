/**
 * Declarative edits of requests and replies: headers, query, path, method, status, bodies.
 *
 * Stands anywhere and always calls next, unless a body cannot be edited. Within headers and queries the order is
 * remove, rename, set, add; within JSON bodies remove, rename, set, wrap, then text replacement. Of a request
 * headers come first, then query, path, method, body; of a reply headers, then body, then status. The client
 * sees the reply's edits; requests' edits are seen by stages below and the upstream. Replies that failures turn
 * into are not edited. With edits of reply bodies Range is taken off the request, for a part cannot be edited.
 * On failure: a request body that is not JSON where JSON is edited gets 400 BODY_NOT_JSON, one larger than `max`
 * 413; a reply of an edited type that cannot be read gets 502.
 */
import { compileText, type Text } from "../core/option-text.ts";
import {
  ConfigError,
  type Exchange,
  type FromSchema,
  GatewayError,
  type JsonSchema,
  type Plugin,
  type Reply,
} from "../core/plugin.ts";
import { METHOD } from "../core/methods.ts";
import { hasDotSegments } from "../core/path.ts";
import { weakenEtag } from "../core/message.ts";
import { encodePath } from "../core/template.ts";
import {
  type BodyEdit,
  bodySchema,
  compileBodyEdit,
  editReplyBody,
  editRequestBody,
} from "./transform/body.ts";
import { compileHeaderEdits, fieldsSchema, type HeaderEdit } from "./transform/headers.ts";
import { compileQueryEdit } from "./transform/query.ts";

const schema = {
  type: "object",
  description: "Edits requests and replies.",
  properties: {
    request: {
      type: "object",
      description: "Edits of the request, seen by the stages below and the upstream.",
      properties: {
        headers: fieldsSchema("Edits of headers, in the order remove, rename, set, add."),
        query: fieldsSchema("Edits of the query, in the order remove, rename, set, add."),
        path: {
          type: "string",
          pattern: '^/[!"$->@-~]*$',
          description: "Path to send upstream, a template over params: `/v2/{id}`, `/files/{*}`.",
        },
        method: { ...METHOD, description: "Method to send upstream." },
        body: bodySchema("Edits of the body."),
      },
      additionalProperties: false,
    },
    response: {
      type: "object",
      description: "Edits of the reply on its way to the client.",
      properties: {
        headers: fieldsSchema("Edits of headers, in the order remove, rename, set, add."),
        status: { type: "integer", minimum: 200, maximum: 599, description: "Status of the reply." },
        body: bodySchema("Edits of the body."),
      },
      additionalProperties: false,
    },
  },
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;
type RequestEdit = (x: Exchange) => void;

export const transform: Plugin<Options> = {
  name: "transform",
  schema,
  build(options) {
    const edits = compileRequestEdits(options.request);
    const requestBody = compileBodyEdit(options.request?.body, "/request/body");
    const replyBody = compileBodyEdit(options.response?.body, "/response/body");
    if (replyBody !== undefined) edits.push(removeRange);
    const editReply = compileReplyEdit(options.response, replyBody);

    if (requestBody === undefined && editReply === undefined) {
      if (edits.length === 0) return (next) => next;
      return (next) => (x) => {
        for (const edit of edits) edit(x);
        return next(x);
      };
    }
    return (next) => async (x) => {
      for (const edit of edits) edit(x);
      if (requestBody !== undefined) await editRequestBody(requestBody, x);
      const reply = await next(x);
      if (editReply === undefined) return reply;
      const pending = editReply(x, reply);
      if (pending !== undefined) await pending;
      return reply;
    };
  },
};

function compileRequestEdits(options: Options["request"] = {}): RequestEdit[] {
  refuseReplyVariables(options);
  const edits: RequestEdit[] = compileHeaderEdits(options.headers, "/request/headers").map(
    (edit) => (x) => edit(x.headers, x),
  );
  const editQuery = compileQueryEdit(options.query, "/request/query");
  if (editQuery !== undefined) {
    edits.push((x) => {
      x.search = editQuery(x.search, x);
    });
  }
  if (options.path !== undefined) edits.push(compilePath(options.path));
  const { method } = options;
  if (method !== undefined) {
    if (method === "HEAD" || method === "CONNECT") {
      throw new ConfigError(`A reply to ${method} cannot be one to the client's method`, "/request/method");
    }
    edits.push((x) => {
      x.method = method;
    });
  }
  return edits;
}

/** There is no reply yet when the request is edited: such a variable could only ever be absent. */
function refuseReplyVariables(options: NonNullable<Options["request"]>): void {
  for (const [key, value] of Object.entries(options)) {
    if (/(?<!\{)\{\s*response\./.test(JSON.stringify(value))) {
      throw new ConfigError("Requests are edited before there is a response", `/request/${key}`);
    }
  }
}

function compilePath(source: string): RequestEdit {
  const pointer = "/request/path";
  const text: Text = compileText(source, pointer, encodePath);
  if (/\{request\.(url|query)\}/.test(source)) {
    throw new ConfigError("A path has no query: use {request.path}; the query stays as it is", pointer);
  }
  if (typeof text === "string") {
    if (hasDotSegments(text)) throw new ConfigError("A path cannot have `.` or `..` segments", pointer);
    return (x) => {
      x.path = text;
    };
  }
  return (x) => {
    const path = text(x) ?? "/";
    if (hasDotSegments(path)) throw new GatewayError("REQUEST_TARGET_INVALID");
    x.path = path;
  };
}

function removeRange(x: Exchange): void {
  x.headers.delete("range");
  x.headers.delete("if-range");
}

/** Edits a reply; gives a promise only when its body must be read. */
type ReplyEdit = (x: Exchange, reply: Reply) => Promise<void> | undefined;

function compileReplyEdit(options: Options["response"], body: BodyEdit | undefined): ReplyEdit | undefined {
  if (options === undefined) return undefined;
  const headerEdits = compileHeaderEdits(options.headers, "/response/headers");
  const { status } = options;
  if (body === undefined && status === undefined) {
    if (headerEdits.length === 0) return undefined;
    return (x, reply) => {
      for (const edit of headerEdits) edit(reply.headers, x, reply);
      return undefined;
    };
  }
  return (x, reply) => editWholeReply(x, reply, headerEdits, body, status);
}

async function editWholeReply(
  x: Exchange,
  reply: Reply,
  headerEdits: readonly HeaderEdit[],
  body: BodyEdit | undefined,
  status = reply.status,
): Promise<void> {
  for (const edit of headerEdits) edit(reply.headers, x, reply);
  const isHead = x.originalMethod === "HEAD";
  if (body !== undefined) {
    if (isHead) dropBodyFields(body, reply);
    else if (!isBodyless(reply.status) && !isBodyless(status)) await editReplyBody(body, x, reply);
  }
  if (status !== reply.status) changeStatus(reply, status, isHead);
}

/** A reply to HEAD must not tell the length of a body that GET would not send (RFC 9110 section 8.6). */
function dropBodyFields(edit: BodyEdit, reply: Reply): void {
  if (!edit.appliesTo(reply.headers.get("content-type"))) return;
  reply.headers.delete("content-length");
  reply.headers.delete("content-encoding");
  weakenEtag(reply.headers);
}

/** True for replies that end after their headers (RFC 9110 section 6.4.1). */
function isBodyless(status: number): boolean {
  return status === 204 || status === 304;
}

function changeStatus(reply: Reply, status: number, isHead: boolean): void {
  if (isBodyless(status)) {
    reply.body?.cancel();
    reply.body = null;
    reply.headers.delete("content-length");
  } else if (isBodyless(reply.status)) {
    if (isHead) reply.headers.delete("content-length");
    else reply.headers.set("content-length", "0");
  }
  reply.status = status;
  reply.reason = undefined;
}
