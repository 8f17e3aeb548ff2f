/** Signatures in the fields Signature-Input and Signature (RFC 9421 section 4). */
import type { HeaderList } from "../headers.ts";
import {
  bytesOf,
  type Dictionary,
  type InnerList,
  isInnerList,
  readDictionary,
  serializeDictionary,
} from "./structured-fields.ts";

const FIELDS = ["signature-input", "signature"] as const;

/** A signature as a request has it; nothing of it is proven. */
export interface Signature {
  readonly label: string;
  /** The components that it covers, with its parameters. */
  readonly input: InnerList;
  readonly bytes: Buffer;
}

/** The signatures of a request. @returns undefined when there are some, but cannot be read */
export function readSignatures(headers: HeaderList): Signature[] | undefined {
  const [input, signature] = FIELDS.map((name) => headers.getJoined(name));
  if (input === undefined && signature === undefined) return [];
  const inputs = readDictionary(input ?? "");
  const values = readDictionary(signature ?? "");
  if (inputs === undefined || values === undefined || inputs.size !== values.size) return undefined;
  const found: Signature[] = [];
  for (const [label, member] of inputs) {
    const bytes = bytesOf(values.get(label));
    if (bytes === undefined || !isInnerList(member)) return undefined;
    found.push({ label, input: member, bytes });
  }
  return found;
}

/** Takes the signature of a label off a request; others stay. */
export function removeSignature(headers: HeaderList, label: string): void {
  for (const name of FIELDS) {
    const members = membersOf(headers, name);
    if (members.delete(label)) write(headers, name, members);
  }
}

/** Puts a signature on a request, in the place of one with the same label. Others stay, unless they cannot be read. */
export function addSignature(headers: HeaderList, { label, input, bytes }: Signature): void {
  const inputs = membersOf(headers, "signature-input");
  write(headers, "signature-input", inputs.set(label, input));
  write(headers, "signature", membersOf(headers, "signature").set(label, [bytes, new Map()]));
}

function membersOf(headers: HeaderList, name: string): Dictionary {
  return readDictionary(headers.getJoined(name) ?? "") ?? new Map();
}

function write(headers: HeaderList, name: string, members: Dictionary): void {
  if (members.size === 0) headers.delete(name);
  else headers.setChecked(name, serializeDictionary(members));
}
