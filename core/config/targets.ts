/** Checks the URLs of targets. */
import { childPointer } from "../pointer.ts";
import { normalizeTarget, targetId } from "../upstream/target-url.ts";
import { asList, asRecord, type Checking } from "./checking.ts";

/** Checks the targets of all upstreams. */
export function checkTargets(checking: Checking, upstreams: Record<string, unknown>): void {
  for (const [name, upstream] of Object.entries(upstreams)) {
    const pointer = `${childPointer("/upstreams", name)}/targets`;
    const places = new Map<string, string>();
    for (const [i, target] of asList(asRecord(upstream)["targets"]).entries()) {
      const isText = typeof target === "string";
      const url = isText ? target : asRecord(target)["url"];
      if (typeof url !== "string" || url === "") continue;
      const at = isText ? childPointer(pointer, i) : `${childPointer(pointer, i)}/url`;
      const problem = targetProblem(url);
      if (problem !== undefined) checking.report("CONFIG_TARGET_URL", problem, at);
      else checkTwice(checking, url, at, places);
    }
  }
}

/** The same target twice would be counted, checked and set as one. A weight says that it gets more. */
function checkTwice(checking: Checking, url: string, at: string, places: Map<string, string>): void {
  const id = targetId(normalizeTarget(url));
  const first = places.get(id);
  if (first === undefined) {
    places.set(id, at);
    return;
  }
  const message = `This target is there already, at ${checking.placeOf(first)}; a larger share is a \`weight\``;
  checking.report("CONFIG_DUPLICATE_NAME", message, at);
}

const EXAMPLE = "such as http://127.0.0.1:8081";

/** What is wrong with a target's URL. Says nothing of the URL itself: it may hold a password. */
export function targetProblem(text: string): string | undefined {
  if (/[\s\\\u0000-\u001f]/.test(text))
    return "A target's URL cannot have spaces, backslashes or control characters";
  if (/^unix:/i.test(text)) return socketProblem(text);
  if (!/^https?:\/\//i.test(text))
    return `A target is a URL that starts with http:// or https://, ${EXAMPLE}`;
  const url = URL.parse(text);
  if (url === null) return `This is not a valid URL; a target is written ${EXAMPLE}`;
  if (url.username !== "" || url.password !== "" || /^https?:\/\/[^/?#]*@/i.test(text)) {
    return "A target's URL cannot have a user name or password; set the authorization header with `transform`";
  }
  if (text.includes("?")) return "A target's URL cannot have a query; stages can add one to requests";
  if (text.includes("#")) return "A target's URL cannot have a fragment";
  return undefined;
}

/** What the system takes of a socket's path, in bytes. */
const MAX_SOCKET_PATH = 107;

function socketProblem(text: string): string | undefined {
  const [, path, base = ""] = /^unix:(\/[^:]*[^:/])(?::(\/.*))?$/.exec(text) ?? [];
  if (path === undefined)
    return "A socket is written unix:/path/to.sock, with `:/base` behind it for a path before every request's";
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
    return `The path of a socket cannot be longer than ${MAX_SOCKET_PATH} bytes; a link to it may be shorter`;
  if (base.includes("?")) return "A target's URL cannot have a query; stages can add one to requests";
  if (base.includes("#")) return "A target's URL cannot have a fragment";
  return undefined;
}
