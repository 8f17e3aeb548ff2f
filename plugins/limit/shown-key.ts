/** Keys as operators see them: those that may be secrets are digests. */
import { createHash } from "node:crypto";
import type { LimitOptions } from "./schema.ts";

/** Names of headers and query parameters whose values let somebody in. */
const CREDENTIAL = /authorization|cookie|api-?_?key|token|secret|passw|session|signature/i;

/** Whether keys are made of what may be secret: values of cookies, and of headers and parameters of such names. */
export function hasSecretKeys(by: LimitOptions["by"]): boolean {
  return [by].flat().some((part) => {
    if (typeof part === "string") {
      const variables = part.matchAll(/\{\s*request\.(header|query|cookie)\.([^}]+)\}/g);
      return [...variables].some(([, kind, name]) => kind === "cookie" || CREDENTIAL.test(name!));
    }
    if ("cookie" in part) return true;
    const name = "header" in part ? part.header : "query" in part ? part.query : "";
    return CREDENTIAL.test(name);
  });
}

/** What stands for a key that may be a secret. */
export function digestKey(key: string): string {
  return `sha256:${createHash("sha256").update(key).digest("hex").slice(0, 12)}`;
}
