/**
 * Compresses replies with zstd, br or gzip, as the client accepts (RFC 9110 section 12.5.3).
 *
 * Stands above the stages that read or change bodies; it calls next and works on the reply only.
 * The client sees Content-Encoding, a weak ETag, no digests of the old bytes and no Accept-Ranges; and
 * `Vary: Accept-Encoding` on every reply of a compressible type, compressed or not. Left as they are: replies
 * that have a coding, are smaller than `minSize`, are partial (206), have `Cache-Control: no-transform` or are
 * event streams; those to HEAD; and failures, which are small.
 * A small body of known length is compressed in one go; others stream, and no byte waits in the compressor for
 * longer than `flushAfter`. `levels` counts only for the codings in `encodings`.
 * If the upstream's body breaks off, so does the compressed one; for a small body the client gets a 502.
 */
import { listMembers } from "../core/headers.ts";
import { STALE_AFTER_EDIT, weakenEtag } from "../core/message.ts";
import {
  BytesBody,
  type Exchange,
  type FromSchema,
  type HeaderList,
  type JsonSchema,
  type Plugin,
  type Reply,
} from "../core/plugin.ts";
import { duration, parseDuration, parseSize, size } from "../core/units.ts";
import { type Coding, type CodingName, createCoding } from "./compress/codings.ts";
import { CompressedBody } from "./compress/compressed-body.ts";
import { compileTypes } from "./compress/media-types.ts";
import { createNegotiator } from "./compress/negotiate.ts";

const schema = {
  type: "object",
  description: "Compresses replies as the client accepts.",
  properties: {
    encodings: {
      type: "array",
      items: { type: "string", enum: ["zstd", "br", "gzip"] },
      minItems: 1,
      uniqueItems: true,
      default: ["zstd", "br", "gzip"],
      description: "Codings to use, the preferred first; the client's weights come before this order.",
    },
    levels: {
      type: "object",
      description: "How hard to try: higher levels are smaller and slower.",
      properties: {
        zstd: { type: "integer", minimum: 1, maximum: 19, default: 3, description: "Level of zstd." },
        br: { type: "integer", minimum: 0, maximum: 11, default: 4, description: "Level of br." },
        gzip: { type: "integer", minimum: 1, maximum: 9, default: 6, description: "Level of gzip." },
      },
      additionalProperties: false,
      default: {},
    },
    minSize: size("1KB", "Smallest body to compress, if its length is known beforehand."),
    types: {
      type: "array",
      items: {
        type: "string",
        pattern: "^(\\*/\\*|[\\w!#$&^.+-]+/(\\*|[\\w!#$&^.+-]+)|\\*\\+[\\w.-]+)$",
      },
      default: [
        "text/*",
        "*+json",
        "*+xml",
        "*+text",
        "application/json",
        "application/javascript",
        "application/xml",
        "application/wasm",
        "application/yaml",
        "application/vnd.ms-fontobject",
        "font/otf",
        "font/ttf",
        "image/bmp",
        "image/x-icon",
      ],
      description: "Media types to compress: `application/json`, `text/*`, `*+json`, or `*/*` for all.",
    },
    flushAfter: duration(
      "10ms",
      "Longest that a piece of a streaming body waits in the compressor; `0s` sends each piece at once.",
    ),
  },
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

/** Bodies up to this size are compressed in one go: some 0.3 ms, less than a stream of their own would take. */
const WHOLE_BYTES = 32 * 1024;

export const compress: Plugin<Options> = {
  name: "compress",
  schema,
  build(options) {
    const codings = new Map<CodingName, Coding>(
      options.encodings.map((name) => [name, createCoding(name, options.levels[name])]),
    );
    const negotiate = createNegotiator(options.encodings);
    const types = compileTypes(options.types);
    const minBytes = parseSize(options.minSize);
    const flushAfterMs = parseDuration(options.flushAfter);

    return (next) => async (x) => {
      const accept = x.headers.getJoined("accept-encoding"); // now: stages below may change it
      const reply = await next(x);
      if (reply.status === 304) return revalidated(x, reply);
      if (!mayTransform(reply)) return reply;

      const type = types(reply.headers.get("content-type"));
      if (type === "stream") return reply;
      if (type === "compressible") reply.headers.addMember("vary", "Accept-Encoding");
      const { coding: name, identity } = negotiate(accept);
      const coding = name && codings.get(name);
      const { body } = reply;
      if (coding === undefined || body === null || body.length === 0) return reply;
      if (identity && (type === "other" || (body.length !== undefined && body.length < minBytes)))
        return reply;
      if (isEncoded(reply) || x.originalMethod === "HEAD" || forbidsTransform(x.headers)) return reply;

      if (coding.cheap && body.length !== undefined && body.length <= WHOLE_BYTES) {
        const bytes = await reply.readBody(WHOLE_BYTES);
        const compressed = coding.compress(bytes);
        if (identity && compressed.length >= bytes.length) return reply;
        describe(reply.headers, coding.name);
        reply.headers.set("content-length", String(compressed.length));
        reply.body = new BytesBody(compressed);
        return reply;
      }
      describe(reply.headers, coding.name);
      reply.headers.delete("content-length");
      reply.body = new CompressedBody(body, coding, flushAfterMs);
      return reply;
    };
  },
};

/** Makes the fields fit the compressed body (RFC 9110 sections 8.4, 8.8.3, 14.3; RFC 9530). */
function describe(headers: HeaderList, coding: CodingName): void {
  for (const name of STALE_AFTER_EDIT) headers.delete(name);
  headers.set("content-encoding", coding);
  headers.addMember("vary", "Accept-Encoding");
  weakenEtag(headers);
}

/**
 * A 304 says that the client's copy is good. If that copy has a weak ETag, because it was compressed here, then
 * a strong one would not name it (RFC 9111 section 4.3.4).
 */
function revalidated(x: Exchange, reply: Reply): Reply {
  const etag = reply.headers.get("etag");
  if (etag?.startsWith('"') && x.headers.getJoined("if-none-match")?.includes(`W/${etag}`)) {
    weakenEtag(reply.headers);
    reply.headers.addMember("vary", "Accept-Encoding");
  }
  return reply;
}

/** Whether the reply has a whole representation that nobody forbade to transform (RFC 9111 section 5.2.2.6). */
function mayTransform(reply: Reply): boolean {
  const { status, headers } = reply;
  if (status < 200 || status === 204 || status === 205 || status === 206) return false;
  return !headers.has("content-range") && !forbidsTransform(headers);
}

function forbidsTransform(headers: HeaderList): boolean {
  const cacheControl = headers.getJoined("cache-control");
  return cacheControl !== undefined && listMembers(cacheControl).includes("no-transform");
}

function isEncoded(reply: Reply): boolean {
  const coding = reply.headers.getJoined("content-encoding");
  return coding !== undefined && coding.trim().toLowerCase() !== "identity";
}
