/** The headers and trailers of a target's reply that concern others than its connection. */
import { HeaderList, isHopByHop, isSameName, listMembers } from "../headers.ts";
import type { RawBytes } from "./pool.ts";

/**
 * Headers of an upstream's reply, without those that concern its connection only. Undefined when its body has a
 * transfer coding that undici leaves on it: nobody would know any more.
 */
export function replyHeaders(raw: readonly RawBytes[]): HeaderList | undefined {
  const out: string[] = [];
  let nominated: string[] | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.latin1Slice();
    const value = raw[i + 1]!.latin1Slice();
    if (isHopByHop(name)) {
      if (isSameName(name, "connection") && value !== "keep-alive" && value !== "close") {
        nominated = [...(nominated ?? []), ...listMembers(value)];
      }
      if (isSameName(name, "transfer-encoding") && value.toLowerCase() !== "chunked") return undefined;
      continue;
    }
    out.push(name, value);
  }
  const headers = new HeaderList(out);
  if (nominated !== undefined) for (const name of nominated) headers.delete(name);
  return headers;
}

/** Fields that must not come as trailers (RFC 9110 section 6.5.1). */
const NOT_IN_TRAILERS = new Set(
  "content-length content-type content-encoding content-range host authorization set-cookie cache-control expires location vary www-authenticate".split(
    " ",
  ),
);

/** Trailers that may be passed on; undefined for none. */
export function replyTrailers(raw: readonly RawBytes[]): string[] | undefined {
  const list = replyHeaders(raw)?.raw ?? [];
  const trailers: string[] = [];
  for (let i = 0; i < list.length; i += 2) {
    if (!NOT_IN_TRAILERS.has(list[i]!.toLowerCase())) trailers.push(list[i]!, list[i + 1]!);
  }
  return trailers.length === 0 ? undefined : trailers;
}
