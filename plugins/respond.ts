/**
 * A fixed reply: maintenance pages, robots.txt, stubs, health answers of the gateway itself.
 *
 * Stands at the end of a pipeline and never calls next. The client sees the status, the headers and the body of
 * the options; strings in them are templates. Without variables everything is prepared when the gateway starts.
 * Values of variables are escaped for JSON, HTML and XML bodies and percent-encoded in headers where they must
 * be. HEAD gets the headers that GET would (RFC 9110 section 9.3.2); 204 and 304 have no body. Nothing it
 * depends on can fail.
 */
import { BytesBody } from "../core/body.ts";
import {
  compileHeaderName,
  compileHeaderValues,
  compileText,
  escapeFor,
  type Text,
} from "../core/option-text.ts";
import {
  ConfigError,
  type FromSchema,
  HeaderList,
  type JsonSchema,
  type Plugin,
  Reply,
} from "../core/plugin.ts";
import { childPointer } from "../core/pointer.ts";
import type { Template } from "../core/template.ts";

const schema = {
  type: "object",
  description: "Answers with a fixed reply.",
  properties: {
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
      description:
        "Text of the reply, a template; `text/plain; charset=utf-8` unless `headers` say otherwise.",
    },
    json: {
      description:
        "Any value, sent as JSON; `application/json` unless `headers` say otherwise. Not with `body`.",
    },
  },
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

export const respond: Plugin<Options> = {
  name: "respond",
  schema,
  terminal: true,
  build(options) {
    const { status } = options;
    const fixed: string[] = [];
    const varying: [name: string, value: Template][] = [];
    for (const [name, values] of compileHeaders(options.headers)) {
      for (const value of values) {
        if (typeof value === "string") fixed.push(name, value);
        else varying.push([name, value]);
      }
    }
    const contentType = new HeaderList(fixed).get("content-type");
    const hasType = contentType !== undefined || varying.some(([name]) => name === "content-type");
    const body = compileBody(options, contentType);
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
      return () => (x) =>
        new Reply(status, new HeaderList(fixed.slice()), x.originalMethod === "HEAD" ? null : bytes);
    }
    return () => (x) => {
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
  },
};

function compileHeaders(headers: Options["headers"]): [name: string, values: Text[]][] {
  return Object.entries(headers).map(([key, source]) => {
    const pointer = childPointer("/headers", key);
    return [compileHeaderName(key, pointer), compileHeaderValues(source, pointer)];
  });
}

function compileBody({ status, body, json }: Options, contentType: string | undefined): Text {
  if (body !== undefined && json !== undefined) {
    throw new ConfigError("Give `body` or `json`, not both", "/json");
  }
  if ((status === 204 || status === 304) && (body !== undefined || json !== undefined)) {
    const pointer = body === undefined ? "/json" : "/body";
    throw new ConfigError(`A reply with status ${status} has no body (RFC 9110 section 6.4.1)`, pointer);
  }
  if (json !== undefined) return JSON.stringify(json);
  return compileText(body ?? "", "/body", escapeFor(contentType));
}
