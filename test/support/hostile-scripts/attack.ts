/** Scripts that do what no script should, as data: run in memory and through the command line. */

export interface Attack {
  /** What the file exports by default, as text. */
  readonly source: string;
  /** Codes of failures that the client may see; none when it sees a reply. */
  readonly codes: readonly string[];
  /** The reply's text, or what it is like. */
  readonly body: string | RegExp | undefined;
  /** It is meant to be cut: it has the time limit that scripts have by default. */
  readonly isCut: boolean;
}

export type Attacks = Readonly<Record<string, Attack>>;

const hook = (body: string): string => `{ request(req, ctx) { ${body} } }`;

/** Runs until it is cut. @param body of a request hook */
export const endless = (body: string, ...others: string[]): Attack => ({
  source: hook(body),
  codes: ["SCRIPT_TIMEOUT", ...others],
  body: undefined,
  isCut: true,
});

/** Fails with one of some codes. @param source what is exported */
export const failing = (source: string, ...codes: string[]): Attack => ({
  source,
  codes,
  body: undefined,
  isCut: false,
});

/** Fails with one of some codes. @param body of a request hook */
export const failingHook = (body: string, ...codes: string[]): Attack => failing(hook(body), ...codes);

/** Gives a reply. @param source what is exported */
export const seeing = (source: string, body: string | RegExp): Attack => ({
  source,
  codes: [],
  body,
  isCut: false,
});

/** Replies with what an expression gives, or with what it throws, as text. */
export const looking = (expression: string, body: string | RegExp): Attack =>
  seeing(
    hook(`
      let found;
      try { found = ${expression}; } catch (error) { found = String(error); }
      return ctx.reply({ body: String(found) });
    `),
    body,
  );

/** The upstream is asked, and answers with what came: `[url, [name, value, …]]` as JSON. */
export const asking = (body: string, answer: RegExp): Attack => seeing(hook(body), answer);
