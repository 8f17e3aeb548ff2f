/** Where browsers are, and what they want. */
import { ConfigError, type Exchange, GatewayError, HeaderList, Reply } from "../../core/plugin.ts";

/** Gives the origin that a browser uses. */
export type OriginOf = (x: Exchange) => string;

/** @throws ConfigError */
export function compileOrigin(publicUrl: string | undefined): OriginOf {
  if (publicUrl === undefined) {
    return ({ scheme, authority }) => {
      const url = URL.parse(`${scheme}://${authority}`);
      if (url === null) throw new GatewayError("HOST_INVALID");
      return url.origin;
    };
  }
  const url = URL.parse(publicUrl);
  if (url === null || !/^https?:$/.test(url.protocol) || url.href !== `${url.origin}/`) {
    throw new ConfigError(
      "This is not an origin, such as https://app.example.com",
      "/publicUrl",
      "CONFIG_VALUE",
    );
  }
  return () => url.origin;
}

/** True for a browser that opens a page: others cannot follow it to the provider. */
export function isNavigation({ originalMethod, headers }: Exchange): boolean {
  if (originalMethod !== "GET") return false;
  const mode = headers.getJoined("sec-fetch-mode");
  if (mode !== undefined && mode !== "navigate") return false;
  if (headers.getJoined("x-requested-with")?.toLowerCase() === "xmlhttprequest") return false;
  return /\btext\/html\b/i.test(headers.getJoined("accept") ?? "");
}

/** Sends a browser elsewhere. Nobody may keep the answer, which is for it alone. */
export function redirectTo(location: string, cookies: readonly string[]): Reply {
  const raw = ["location", location, "cache-control", "no-store", "content-length", "0"];
  for (const cookie of cookies) raw.push("set-cookie", cookie);
  return new Reply(303, new HeaderList(raw));
}
