/**
 * Targets are what a JSON or YAML file lists, as `targets` of an upstream does; an empty list is none. The file is
 * read again when it changes. One that cannot be read, half-written for example, is a failure.
 */
import { relative, resolve } from "node:path";
import { explainErrors } from "../../config/explain.ts";
import { parseValue } from "../../config/read.ts";
import { renderMessage } from "../../config/render.ts";
import { placeText, readSource, type Source as TextSource, UnreadableError } from "../../config/source.ts";
import { targetProblem } from "../../config/targets.ts";
import { type Finding, findNode, type Node, toPlain } from "../../config/tree.ts";
import { targetListSchema } from "../../config/targets-schema.ts";
import { createValidator } from "../../config/validate.ts";
import { type Watcher, watchConfig } from "../../config/watch.ts";
import { type Follower, type Found, reasonOf, type Source } from "./source.ts";

const fileSchema = { ...targetListSchema, minItems: 0 } as const;

export class FileSource implements Source {
  readonly kind = "file";
  readonly #path: string;
  readonly #baseDir: string;

  constructor(file: string, baseDir: string) {
    this.#path = resolve(baseDir, file);
    this.#baseDir = baseDir;
  }

  async follow(follower: Follower): Promise<void> {
    // Reads follow one another: an older state never overwrites a newer one.
    let work = Promise.resolve();
    const read = (): Promise<void> => (work = work.then(() => this.#read(follower)));
    const { promise: broken, reject } = Promise.withResolvers<never>();
    broken.catch(() => {}); // it may break before anybody waits for that
    let watcher: Watcher | undefined;
    try {
      const sources = { files: [this.#path], folders: [] };
      watcher = await watchConfig(sources, () => void read(), { onError: reject });
      await read();
      await Promise.race([broken, aborted(follower.signal)]);
    } catch (error) {
      await read(); // without a watch it is read whenever this begins anew
      throw new Error(`${this.#name} cannot be watched: ${reasonOf(error)}`, { cause: error });
    } finally {
      await watcher?.close();
    }
  }

  get #name(): string {
    return relative(this.#baseDir, this.#path) || this.#path;
  }

  async #read(follower: Follower): Promise<void> {
    try {
      follower.tell(await this.#targets());
    } catch (error) {
      follower.failed(error as Error);
    }
  }

  /** @throws Error that says what is wrong with the file, and where */
  async #targets(): Promise<Found[]> {
    let source: TextSource;
    try {
      source = await readSource(this.#path);
    } catch (error) {
      if (!(error instanceof UnreadableError)) throw error;
      const at = error.place === undefined ? this.#name : placeText(error.place, this.#baseDir);
      throw new Error(`${at}: ${error.message}`, { cause: error });
    }
    const findings: Finding[] = [];
    const root = parseValue(source, findings);
    if (findings.length === 0 && root === undefined) throw new Error(`${this.#name}: The file is empty`);
    const list = root === undefined ? [] : (toPlain(root) as (string | Found)[]);
    if (findings.length === 0) findings.push(...problemsOf(list));
    const [first] = findings;
    if (first !== undefined) throw new Error(this.#describe(first, root, findings.length));
    return list.map((target) => (typeof target === "string" ? { url: target, weight: 1 } : target));
  }

  #describe(finding: Finding, root: Node | undefined, count: number): string {
    const found = root && findNode(root, finding.pointer);
    const at = finding.place ?? (finding.atKey ? found?.key : found?.node.place);
    const more = count > 1 ? ` (and ${count - 1} more)` : "";
    return `${at === undefined ? this.#name : placeText(at, this.#baseDir)}: ${renderMessage(finding)}${more}`;
  }
}

/** What is wrong with a list of targets; fills in what they leave out. */
function problemsOf(list: (string | Found)[]): Finding[] {
  const context = { root: fileSchema, base: "", isHidden: () => false, onSecret: () => {} };
  const problems = explainErrors(createValidator(fileSchema)(list), context);
  if (problems.length > 0) return problems;
  return list.flatMap((target, i): Finding[] => {
    const isText = typeof target === "string";
    const message = targetProblem(isText ? target : target.url);
    const pointer = isText ? `/${i}` : `/${i}/url`;
    return message === undefined ? [] : [{ code: "CONFIG_TARGET_URL", message, pointer }];
  });
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((end) => {
    if (signal.aborted) end();
    else signal.addEventListener("abort", () => end(), { once: true });
  });
