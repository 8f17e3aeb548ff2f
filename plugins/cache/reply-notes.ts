/** What replies tell the cache that is not for clients: the tags that purges go by, and purges. */
import { isInnerList, readDictionary } from "../../core/http-signatures/structured-fields.ts";
import { ConfigError, type Exchange, type HeaderList } from "../../core/plugin.ts";
import type { CacheCounts } from "./counts.ts";
import type { Purge } from "./level.ts";
import type { Purger } from "./purger.ts";

export const TAG_HEADERS = ["surrogate-key", "cache-tag"];
/** A reply that purges more things purges everything. */
const MOST_PURGES = 256;
const KINDS: readonly string[] = ["tag", "url", "prefix"] satisfies Purge["kind"][];

const EVERYTHING: Purge = { kind: "all", value: "", soft: false };

export class ReplyNotes {
  readonly #forwardsTags: boolean;
  /** Lower case. */
  readonly #purgeHeader: string | undefined;
  readonly #purger: Purger;
  readonly #counts: CacheCounts;

  constructor(
    options: { forwardsTags: boolean; purgeHeader: string | undefined },
    purger: Purger,
    counts: CacheCounts,
  ) {
    this.#forwardsTags = options.forwardsTags;
    this.#purgeHeader = options.purgeHeader;
    this.#purger = purger;
    this.#counts = counts;
  }

  /** Reads the tags of a reply, and takes them away where clients are not to see them. */
  takeTags(headers: HeaderList): readonly string[] {
    const keys = headers.getJoined("surrogate-key")?.split(/[\s,]+/) ?? [];
    const tags = headers.getJoined("cache-tag")?.split(",") ?? [];
    if (!this.#forwardsTags) for (const name of TAG_HEADERS) headers.delete(name);
    if (keys.length === 0 && tags.length === 0) return [];
    const all = new Set([...keys, ...tags].map((tag) => tag.trim()));
    all.delete("");
    return [...all];
  }

  /**
   * Does the purges that a reply asks for.
   * @returns resolves when they hold here; undefined when there are none
   */
  obey(x: Exchange, headers: HeaderList): Promise<void> | undefined {
    if (this.#purgeHeader === undefined) return undefined;
    const field = headers.getJoined(this.#purgeHeader);
    if (field === undefined) return undefined;
    headers.delete(this.#purgeHeader);
    return this.#purge(x, field);
  }

  async #purge(x: Exchange, field: string): Promise<void> {
    const purges = readPurges(field);
    if (purges === undefined) return this.#refuse(x, field);
    const base = `${x.scheme}://${x.authority}`;
    const todo = purges.length > MOST_PURGES ? [EVERYTHING] : purges;
    await Promise.all(
      todo.map((purge) =>
        this.#purger.spread(purge, base).catch((error: unknown) => {
          if (!(error instanceof ConfigError)) throw error;
          this.#refuse(x, field);
        }),
      ),
    );
  }

  #refuse(x: Exchange, field: string): void {
    this.#counts.purges.malformed++;
    x.log.debug({ field }, "a reply asks for purges that cannot be understood");
  }
}

/** What a field asks for, such as `tag=("a" "b"), url="/c";soft`; undefined when it cannot be understood. */
export function readPurges(field: string): Purge[] | undefined {
  const members = readDictionary(field);
  if (members === undefined) return undefined;
  const purges: Purge[] = [];
  for (const [kind, member] of members) {
    const soft = member[1].get("soft") === true;
    if (kind === "all" && member[0] === true) {
      purges.push({ ...EVERYTHING, soft });
      continue;
    }
    if (!KINDS.includes(kind)) return undefined;
    const items = isInnerList(member) ? member[0].map(([value]) => value) : [member[0]];
    for (const value of items) {
      if (typeof value !== "string") return undefined;
      purges.push({ kind: kind as Purge["kind"], value, soft });
    }
  }
  return purges;
}
