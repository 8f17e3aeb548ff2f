/** How deeply a GraphQL document is nested: as much of a parser as that takes (spec of October 2021, section 2). */

/** Names of fragments that are used here, and fields that have fields of their own. */
interface Selection {
  readonly spreads: string[];
  readonly below: Selection[];
}

// Block strings, strings, names, numbers, `...`, and single characters; comments, commas and blanks are left out.
const TOKEN =
  /"""(?:\\"""|[\s\S])*?"""|"(?:\\.|[^"\\\n])*"|[_A-Za-z]\w*|-?\d[\d.eE+-]*|\.\.\.|#[^\n\r]*|[^\s,\ufeff]/g;

const MOST_NESTED = 200;

/** The number of levels of the deepest operation. @throws SyntaxError for what is not GraphQL */
export function depthOf(document: string): number {
  const tokens = (document.match(TOKEN) ?? []).filter((token) => !token.startsWith("#"));
  const fragments = new Map<string, Selection>();
  const operations: Selection[] = [];
  let at = 0;

  const fail = (why: string): never => {
    throw new SyntaxError(`The query cannot be read: ${why}`);
  };
  const next = (): string => tokens[at++] ?? fail("it ends too early");
  const expect = (token: string): void => {
    const found = next();
    if (found !== token) fail(`"${found.slice(0, 40)}" where "${token}" must be`);
  };
  const isName = (token: string | undefined): boolean => /^[_A-Za-z]/.test(token ?? "");

  /** Arguments, variables and values: brackets of all kinds, up to the one that fits. */
  const skipBrackets = (): void => {
    let open = 0;
    do {
      const token = next();
      if ("([{".includes(token)) open++;
      else if (")]}".includes(token)) open--;
    } while (open > 0);
  };
  const skipArguments = (): void => {
    if (tokens[at] === "(") skipBrackets();
  };
  const skipDirectives = (): void => {
    while (tokens[at] === "@") {
      at += 2;
      skipArguments();
    }
  };

  const readSelection = (nested: number): Selection => {
    if (nested > MOST_NESTED) fail(`it has more than ${MOST_NESTED} levels`);
    const selection: Selection = { spreads: [], below: [] };
    expect("{");
    while (tokens[at] !== "}") readMember(selection, nested);
    at++;
    return selection;
  };
  const readMember = (selection: Selection, nested: number): void => {
    const token = next();
    if (token === "..." && isName(tokens[at]) && tokens[at] !== "on") {
      selection.spreads.push(next());
      return skipDirectives();
    }
    if (token === "...") {
      if (tokens[at] === "on") at += 2;
      skipDirectives();
      const inline = readSelection(nested + 1); // of the same level
      selection.spreads.push(...inline.spreads);
      selection.below.push(...inline.below);
      return;
    }
    if (!isName(token)) fail(`"${token.slice(0, 40)}" where a field must be`);
    if (tokens[at] === ":") at += 2; // it was an alias
    skipArguments();
    skipDirectives();
    selection.below.push(tokens[at] === "{" ? readSelection(nested + 1) : { spreads: [], below: [] });
  };

  while (at < tokens.length) {
    const kind = tokens[at]!;
    if (kind === "{") {
      operations.push(readSelection(1));
      continue;
    }
    at++;
    if (kind === "fragment") {
      const name = next();
      expect("on");
      at++;
      skipDirectives();
      fragments.set(name, readSelection(1));
    } else if (kind === "query" || kind === "mutation" || kind === "subscription") {
      if (isName(tokens[at])) at++;
      skipArguments();
      skipDirectives();
      operations.push(readSelection(1));
    } else fail(`"${kind.slice(0, 40)}" where an operation or a fragment must be`);
  }
  if (operations.length === 0) fail("it has no operation");
  return Math.max(...operations.map((operation) => measure(operation, fragments, new Map(), fail)));
}

/** Each fragment is measured once, however often it is used. */
function measure(
  { spreads, below }: Selection,
  fragments: ReadonlyMap<string, Selection>,
  known: Map<string, number | "open">,
  fail: (why: string) => never,
): number {
  const ofFields = below.map((field) => 1 + measure(field, fragments, known, fail));
  const ofFragments = spreads.map((name) => {
    const before = known.get(name);
    if (before === "open") fail(`the fragment "${name}" uses itself`);
    if (typeof before === "number") return before;
    known.set(name, "open");
    const depth = measure(
      fragments.get(name) ?? fail(`there is no fragment "${name}"`),
      fragments,
      known,
      fail,
    );
    known.set(name, depth);
    return depth;
  });
  return Math.max(0, ...ofFields, ...ofFragments);
}
