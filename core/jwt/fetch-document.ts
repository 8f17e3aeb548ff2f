/** Fetches a small document: one GET on a connection of its own, with limits on its time and size. */
import { ask } from "../ask.ts";

const MOST_BYTES = 256 * 1024;
const MOST_MS = 5000;

/** @throws Error that says why not; redirects are not followed */
export async function fetchDocument(url: URL, signal: AbortSignal): Promise<string> {
  const headers = { accept: "application/jwk-set+json, application/json" };
  const question = { url, method: "GET", headers, timeoutMs: MOST_MS, maxBytes: MOST_BYTES } as const;
  const { status, body } = await ask(question, undefined, signal);
  if (status !== 200) throw new Error(`the answer has status ${status}`);
  return body;
}
