/** Checks the URLs of targets. */
import { childPointer } from "../pointer.ts";
import { asList, asRecord, type Checking } from "./checking.ts";

/** Checks the targets of all upstreams. */
export function checkTargets(checking: Checking, upstreams: Record<string, unknown>): void {
  for (const [name, upstream] of Object.entries(upstreams)) {
    const pointer = `${childPointer("/upstreams", name)}/targets`;
    for (const [i, target] of asList(asRecord(upstream)["targets"]).entries()) {
      const isText = typeof target === "string";
      const url = isText ? target : asRecord(target)["url"];
      const problem = typeof url === "string" && url !== "" ? targetProblem(url) : undefined;
      if (problem !== undefined) {
        const at = childPointer(pointer, i);
        checking.report("CONFIG_TARGET_URL", problem, isText ? at : `${at}/url`);
      }
    }
  }
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

function socketProblem(text: string): string | undefined {
  if (/^unix:\/[^:]*(:\/.*)?$/.test(text)) return undefined;
  return "A socket is written unix:/path/to.sock, with `:/base` behind it for a path before every request's";
}
