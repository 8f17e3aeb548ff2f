/** Finds credentials in requests, and takes them out, so that upstreams do not get them. */
import { readCookies, takeCookie } from "../../core/cookies.ts";
import { ConfigError, type Exchange, type HeaderList } from "../../core/plugin.ts";
import type { Place } from "./method.ts";

const IS_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

const name = <const X extends string>(description: X) =>
  ({ type: "string", minLength: 1, description }) as const;

export const placeOptions = {
  header: name("Name of the header."),
  query: name("Name of the query parameter. Queries are in many logs: better a header."),
  cookie: name("Name of the cookie."),
  keep: {
    type: "boolean",
    default: false,
    description: "Leave the credential in the request: the upstream sees it then.",
  },
} as const;

/** Options of where a credential may be. */
interface PlaceOptions {
  readonly header?: string;
  readonly query?: string;
  readonly cookie?: string;
  readonly keep: boolean;
}

/** What a header says: undefined when it has no credential of the kind. */
export type ReadHeader = (headers: HeaderList, name: string) => string | undefined;

export interface Reader {
  /** Gives the credential, empty when there is more than one, so that nobody can tell which counts. */
  read(x: Exchange): string | undefined;
  readonly places: readonly Place[];
}

/**
 * @param usualHeader where it is when no place is given
 * @throws ConfigError at `pointer`
 */
export function createReader(
  { query, cookie, keep, ...others }: PlaceOptions,
  usualHeader: string,
  readHeader: ReadHeader,
  pointer: string,
): Reader {
  const header = (others.header ?? ((query ?? cookie) ? undefined : usualHeader))?.toLowerCase();
  for (const [key, value] of Object.entries({ header, cookie })) {
    if (value !== undefined && !IS_NAME.test(value)) {
      throw new ConfigError(`This cannot be the name of a ${key}`, `${pointer}/${key}`, "CONFIG_VALUE");
    }
  }
  const places: Place[] = [];
  if (header !== undefined) places.push(headerPlace(header, readHeader));
  if (query !== undefined) {
    places.push({
      id: `query ${query}`,
      clear: (x) => void (x.search = withoutParameter(x.search, query)),
    });
  }
  if (cookie !== undefined) {
    places.push({ id: `cookie ${cookie}`, clear: (x) => void takeCookie(x.headers, cookie) });
  }
  const read = (x: Exchange): string | undefined => {
    let found: string | undefined;
    if (header !== undefined) {
      found = readHeader(x.headers, header);
      if (found !== undefined && !keep) x.headers.delete(header);
    }
    if (query !== undefined) {
      const values = x.query.getAll(query);
      if (values.length > 0) found = found === undefined && values.length === 1 ? values[0]! : "";
      if (values.length > 0 && !keep) x.search = withoutParameter(x.search, query);
    }
    if (cookie !== undefined) {
      const values = keep ? readCookies(x.headers, cookie) : takeCookie(x.headers, cookie);
      if (values.length > 0) found = found === undefined && values.length === 1 ? values[0]! : "";
    }
    return found;
  };
  return { read, places };
}

/** A header, when what it has is of a method's kind. */
export function headerPlace(name: string, readHeader: ReadHeader): Place {
  return {
    id: `header ${name}`,
    clear({ headers }) {
      if (readHeader(headers, name) !== undefined) headers.delete(name);
    },
  };
}

/** The token of a header; the scheme must be there in `authorization` only, where others have theirs. */
export function readBearer(headers: HeaderList, name: string): string | undefined {
  const lines = headers.getAll(name);
  if (lines.length !== 1) return lines.length === 0 ? undefined : "";
  const [line = ""] = lines;
  if (/^bearer(?:[ \t]|$)/i.test(line)) return line.slice(7).trim();
  return name === "authorization" ? undefined : line;
}

/** Takes a parameter out of a query; what is left stays as it was written. */
function withoutParameter(search: string, name: string): string {
  const left = search
    .slice(1)
    .split("&")
    .filter((pair) => !new URLSearchParams(pair).has(name))
    .join("&");
  return left === "" ? "" : `?${left}`;
}
