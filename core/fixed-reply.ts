/** Replies that options describe, for stages that answer by themselves. */
import { compileHeaderName, compileHeaderValues, compileText, escapeFor, type Text } from "./option-text.ts";
import {
  BytesBody,
  ConfigError,
  type Exchange,
  type FromSchema,
  HeaderList,
  type JsonSchema,
  Reply,
} from "./plugin.ts";
import { childPointer } from "./pointer.ts";
import type { Template } from "./template.ts";

/** Properties of a schema: a stage that embeds them takes the same options. */
export const replyProperties = {
  status: {
    type: "integer",
    minimum: 200,
    maximum: 599,
    default: 200,
    description: "Status of the reply.",
  },
  headers: {
    type: "object",
    default: {},
    description:
      "Headers of the reply by name: a template or a list of them. One whose only variable is absent is left out.",
    additionalProperties: { anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }] },
  },
  body: {
    type: "string",
    description: "Text of the reply, a template; `text/plain; charset=utf-8` unless `headers` say otherwise.",
  },
  json: {
    description:
      "Any value, sent as JSON; `application/json` unless `headers` say otherwise. Not with `body`.",
  },
} as const satisfies JsonSchema["properties"];

export type ReplyOptions = FromSchema<{
  readonly type: "object";
  readonly properties: typeof replyProperties;
  readonly additionalProperties: false;
}>;

/**
 * Compiles a reply. Without variables in it everything is prepared.
 * @param pointer where the options are
 * @throws ConfigError
 */
export function compileReply(options: ReplyOptions, pointer: string): (x: Exchange) => Reply {
  const { status } = options;
  const fixed: string[] = [];
  const varying: [name: string, value: Template][] = [];
  for (const [name, values] of compileHeaders(options.headers, `${pointer}/headers`)) {
    for (const value of values) {
      if (typeof value === "string") fixed.push(name, value);
      else varying.push([name, value]);
    }
  }
  const contentType = new HeaderList(fixed).get("content-type");
  const hasType = contentType !== undefined || varying.some(([name]) => name === "content-type");
  const body = compileBody(options, contentType, pointer);
  if (body !== "" && !hasType) {
    fixed.unshift(
      "content-type",
      options.json === undefined ? "text/plain; charset=utf-8" : "application/json",
    );
  }
  if (typeof body === "string" && status !== 204 && status !== 304) {
    fixed.push("content-length", String(Buffer.byteLength(body)));
  }
  const bytes = typeof body === "string" && body !== "" ? new BytesBody(Buffer.from(body)) : null;

  if (typeof body === "string" && varying.length === 0) {
    return (x) =>
      new Reply(status, new HeaderList(fixed.slice()), x.originalMethod === "HEAD" ? null : bytes);
  }
  return (x) => {
    const headers = new HeaderList(fixed.slice());
    for (const [name, template] of varying) {
      const value = template(x);
      if (value !== undefined) headers.append(name, value);
    }
    let content = bytes;
    if (typeof body !== "string") {
      content = new BytesBody(Buffer.from(body(x) ?? ""));
      headers.append("content-length", String(content.length));
    }
    return new Reply(status, headers, x.originalMethod === "HEAD" ? null : content);
  };
}

function compileHeaders(headers: ReplyOptions["headers"], pointer: string): [name: string, values: Text[]][] {
  return Object.entries(headers).map(([key, source]) => {
    const at = childPointer(pointer, key);
    return [compileHeaderName(key, at), compileHeaderValues(source, at)];
  });
}

function compileBody(
  { status, body, json }: ReplyOptions,
  contentType: string | undefined,
  pointer: string,
): Text {
  if (body !== undefined && json !== undefined) {
    throw new ConfigError("Give `body` or `json`, not both", `${pointer}/json`);
  }
  if ((status === 204 || status === 304) && (body !== undefined || json !== undefined)) {
    throw new ConfigError(
      `A reply with status ${status} has no body (RFC 9110 section 6.4.1)`,
      `${pointer}/${body === undefined ? "json" : "body"}`,
    );
  }
  if (json !== undefined) return JSON.stringify(json);
  return compileText(body ?? "", `${pointer}/body`, escapeFor(contentType));
}
