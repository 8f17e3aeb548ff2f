/** What is signed (RFC 9421 section 2.5). */
import { readComponent, type SignedRequest } from "./components.ts";
import { type InnerList, serializeInnerList, serializeItem } from "./structured-fields.ts";

/** Signatures that cover more are refused unread. */
const MOST_COMPONENTS = 64;

/**
 * The text that a signature is of.
 * @param input the components it covers, with its parameters
 * @returns undefined when the request lacks a component, or one comes twice
 */
export function signatureBase(input: InnerList, request: SignedRequest): string | undefined {
  const [components, parameters] = input;
  if (components.length > MOST_COMPONENTS) return undefined;
  const ids: string[] = [];
  let base = "";
  for (const component of components) {
    const id = serializeItem(component);
    const value = readComponent(component, request);
    if (value === undefined || ids.includes(id)) return undefined;
    ids.push(id);
    base += `${id}: ${value}\n`;
  }
  return `${base}"@signature-params": ${serializeInnerList([components, parameters])}`;
}
