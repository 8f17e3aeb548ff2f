/** URLs of Redis: `redis://user:password@host:6379/0`, `rediss://` for TLS. */

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** Number of the database. */
  readonly db: number;
  readonly tls: boolean;
}

const PORT = 6379;

/** @returns what is wrong with it, if anything is; nothing of the URL itself, which may hold a password */
export function parseRedisUrl(text: string): RedisAddress | string {
  const url = URL.parse(text);
  if (url === null || !/^rediss?:$/.test(url.protocol) || url.hostname === "")
    return "This is not a valid URL; a Redis is written such as redis://127.0.0.1:6379";
  if (url.search !== "" || url.hash !== "") return "A Redis's URL cannot have a query or a fragment";
  const [, db = "0"] = /^\/?(\d{1,5})?$/.exec(url.pathname) ?? [undefined, "none"];
  if (db === "none") return "The path of a Redis's URL is the number of a database, such as /0";
  try {
    return {
      host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
      port: url.port === "" ? PORT : Number(url.port),
      username: url.username === "" ? undefined : decodeURIComponent(url.username),
      password: url.password === "" ? undefined : decodeURIComponent(url.password),
      db: Number(db),
      tls: url.protocol === "rediss:",
    };
  } catch {
    return "The user name and the password of a URL are percent-encoded; these cannot be decoded";
  }
}

/** Host and port of a node of a cluster, such as `10.0.0.1:6379` or `[::1]:6379`. */
export function parseNode(text: string): { host: string; port: number } {
  const at = text.lastIndexOf(":");
  return { host: text.slice(0, at).replace(/^\[(.*)\]$/, "$1"), port: Number(text.slice(at + 1)) };
}
