/** The headers that a target gets: the client's, less those of its connection, and what proxies add. */
import { monotonicMs } from "../clock.ts";
import { BytesBody } from "../body.ts";
import type { Exchange } from "../exchange.ts";
import { isHopByHop, isSameName } from "../headers.ts";

/** Name of the gateway in Via (RFC 9110 section 7.6.3). */
export const VIA = "sluice";

/** The headers to send upstream: the client's without hop-by-hop fields, with the gateway's own. */
export function outgoingHeaders(x: Exchange, targetHost: string): string[] {
  const { raw } = x.headers;
  const { peer } = x;
  const deadlineHeader = x.deadline?.header;
  // HTTP/1.0 clients may have named no host: then there is none to preserve or to tell of.
  const out = ["host", (x.route.preserveHost && x.authority) || targetHost];
  let forwardedProto: string | undefined;
  let forwardedFor: string | undefined;
  let forwarded: string | undefined;
  let forwardedHost: string | undefined;
  let forwardedPort: string | undefined;
  let via: string | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    const value = raw[i + 1]!;
    switch (name.length) {
      case 3:
        if (!isSameName(name, "via")) break;
        via = join(via, value);
        continue;
      case 4:
        if (!isSameName(name, "host")) break;
        if (value !== x.authority) out[1] = value; // a stage set it
        continue;
      case 6:
        if (isSameName(name, "expect")) continue;
        break;
      case 9:
        if (!isSameName(name, "forwarded")) break;
        forwarded = join(forwarded, value);
        continue;
      case 14:
        if (isSameName(name, "content-length")) continue;
        break;
      case 15:
        if (!isSameName(name, "x-forwarded-for")) break;
        forwardedFor = join(forwardedFor, value);
        continue;
      case 16:
        if (isSameName(name, "x-forwarded-host")) {
          forwardedHost = value;
          continue;
        }
        if (isSameName(name, "x-forwarded-port")) {
          forwardedPort = value;
          continue;
        }
        break;
      case 17:
        if (!isSameName(name, "x-forwarded-proto")) break;
        forwardedProto = value;
        continue;
    }
    if (isHopByHop(name) || (deadlineHeader !== undefined && isSameName(name, deadlineHeader))) continue;
    out.push(name, value);
  }
  out.push("x-forwarded-for", join(forwardedFor, peer.address));
  out.push("x-forwarded-proto", forwardedProto ?? x.scheme);
  const host = forwardedHost ?? x.authority;
  if (host !== "") out.push("x-forwarded-host", host);
  out.push("x-forwarded-port", forwardedPort ?? peer.localPort);
  out.push("forwarded", join(forwarded, peer.forwardedElement(x.authority)));
  out.push("via", join(via, `${x.httpVersion} ${VIA}`));
  if (deadlineHeader !== undefined) {
    out.push(deadlineHeader, String(Math.max(0, Math.floor(x.deadline!.at - monotonicMs()))));
  }
  const { body } = x;
  if (body?.length !== undefined && !(body instanceof BytesBody))
    out.push("content-length", String(body.length));
  return out;
}

function join(list: string | undefined, member: string): string {
  return list === undefined ? member : `${list}, ${member}`;
}
