/**
 * What the parts of the guest runtime share. Each part is a function that is turned into text and run inside an isolate,
 * before the script: it sees nothing of this process, and it uses no import but types.
 */

/**
 * Asks the host. The answer begins with `=`, followed by the result, or with `!`, followed by why not.
 * @param run which call of a hook asks; 0 for none
 */
export type AskHost = (op: string, run: number, argument: string) => string;

/** A body that a hook has touched, or not. */
export interface GuestBody {
  value: unknown;
  /** The line of edits that replaces it; empty when it is as it was. */
  edit(): string;
}

/** What is kept of the stages that the script is. */
export interface GuestStage {
  readonly options: unknown;
  /** Name of the script. */
  readonly script: string;
  readonly route: string;
  readonly secrets: readonly string[];
}

/** Parts of the runtime, by name: later parts use what earlier ones have put here. The script never sees it. */
export interface Guest {
  readonly ask: AskHost;
  /** As {@link ask}, but throws when the host refuses; gives the result alone. */
  demand(op: string, run: number, argument: string): string;
  /** Begins what takes time; settles with the result, or throws why not. */
  start(op: string, run: number, argument: string): Promise<string>;
  /** Something that was begun has ended. */
  onEnded(operation: number, outcome: number, result: string): void;
  /** The call of a hook that runs now. */
  running: number;
  /** Writes a line into the gateway's log; never throws. */
  log(run: number, level: string, message: unknown, fields: unknown): void;
  /** What was thrown, as JSON `[name, message, stack, kind?]`; never throws. */
  describe(error: unknown): string;
  utf8Encode(text: string): Uint8Array;
  utf8Decode(bytes: Uint8Array): string;
  /** One character for each byte. */
  toLatin1(bytes: Uint8Array): string;
  fromLatin1(text: string): Uint8Array;
  /** Text or bytes for the host: `t` and the text, or `b` and a character for each byte. @throws TypeError */
  dataOf(value: unknown, what: string): string;
  /** Bytes, or those of a text. @throws TypeError */
  bytesOf(value: unknown, what: string): Uint8Array;
  toBase64(bytes: Uint8Array, alphabet: "base64" | "base64url"): string;
  /** As `atob`, but gives bytes. @throws TypeError */
  fromBase64(text: string): Uint8Array;
  /** @param block `\nname:value` for each, names in lower case; what comes before the first is left out */
  createHeaders(block: string, isFixed: boolean): object;
  /** Lines of edits that were made to headers so far. */
  headerEdits(headers: object): string;
  createBody(kind: string, text: string): GuestBody;
  /** @param onChange called whenever it was changed */
  createSearchParams(text: string, onChange: () => void): object;
  /** Has params be those of a text, without calling whoever is told of changes. */
  refillSearchParams(params: object, text: string): void;
  /** Lines of edits for a body given as a value. */
  bodyLine(value: unknown): string;
  /** @param text as the host gives it */
  createRequest(run: number, stage: GuestStage, text: string, body: string | undefined): unknown;
  createResponse(text: string, body: string | undefined): unknown;
  /** @throws TypeError for what is no status of a whole reply */
  statusOf(value: unknown): number;
  /** The lines of edits of a request or a response. */
  editsOf(message: unknown): string;
  createContext(run: number, stage: GuestStage, states: string | undefined): unknown;
  /** The line of edits that keeps the state; empty when there is none. */
  stateLine(context: unknown): string;
  /** Lines of edits for a reply made by `ctx.reply`; undefined for anything else. */
  replyLines(value: unknown): string | undefined;
  bodyKinds: { request: string; response: string };
}
