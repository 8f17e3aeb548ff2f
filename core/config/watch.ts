/**
 * Watches the files of a configuration and says when something changed; what changed is for the caller to find
 * out (compare `hash`). Folders are watched, not files, so that atomic renames are seen; and every symbolic link
 * on the way to a file is watched as itself, so that the swap of a Kubernetes ConfigMap (`..data`) is seen.
 *
 * Whatever the events say, the state of every path is compared after each change of what is watched: nothing is
 * missed between two watches.
 */
import { once } from "node:events";
import { lstat, readlink } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import type { FSWatcher } from "chokidar";
import type { ConfigSources } from "./load.ts";

export interface Watcher {
  /** Watches other files and folders from now on. */
  update(sources: ConfigSources): void;
  close(): Promise<void>;
}

export interface WatchOptions {
  /** Quiet time after a change before it is told; changes that never end are told after twenty times this. */
  readonly debounceMs?: number;
  /** Told when watching itself fails, such as when the system has no watches left. A process warning by default. */
  readonly onError?: (error: Error) => void;
}

/**
 * Starts to watch; resolves when no change can be missed any more.
 * @throws Error when the folders cannot be watched
 */
export async function watchConfig(
  sources: ConfigSources,
  onChange: () => void,
  options: WatchOptions = {},
): Promise<Watcher> {
  const watcher = new FolderWatcher(sources, onChange, options);
  await watcher.start();
  return watcher;
}

/** What is on disk, as far as it matters. */
interface Scan {
  /** Paths whose change matters: files, links on the way to them, and what is missing. State by path. */
  readonly states: Map<string, PathState>;
  /** Real folders in which new files matter. */
  readonly open: Set<string>;
  /** Real folders to watch, with their identity: a folder made anew must be watched anew. */
  readonly folders: Map<string, number>;
}

interface PathState {
  /** Differs when the path's content may differ. */
  readonly identity: string;
  readonly changedAt: number;
}

class FolderWatcher implements Watcher {
  readonly #onChange: () => void;
  readonly #debounceMs: number;
  readonly #onError: (error: Error) => void;
  #sources: ConfigSources;
  #scan: Scan | undefined;
  #watcher: FSWatcher | undefined;
  #armed = "";
  #isDirty = false;
  #isClosed = false;
  /** When a change was told last; what is new to watch and younger may have been missed by the caller. */
  #toldAt = Date.now();
  #timer: NodeJS.Timeout | undefined;
  #firstEventAt = 0;
  #work: Promise<void> = Promise.resolve();

  constructor(sources: ConfigSources, onChange: () => void, options: WatchOptions) {
    this.#sources = sources;
    this.#onChange = onChange;
    this.#debounceMs = options.debounceMs ?? 50;
    this.#onError = options.onError ?? ((error) => process.emitWarning(error));
  }

  async start(): Promise<void> {
    await this.#look();
  }

  update(sources: ConfigSources): void {
    this.#sources = sources;
    this.#enqueue();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#work;
    await this.#watcher?.close();
  }

  #enqueue(): void {
    this.#work = this.#work.then(() => this.#look()).catch((error) => this.#onError(error as Error));
  }

  #onEvent(path: string): void {
    if (this.#isClosed || !this.#matters(path)) return;
    this.#isDirty = true;
    const now = performance.now();
    if (this.#timer === undefined) this.#firstEventAt = now;
    else if (now - this.#firstEventAt > this.#debounceMs * 20) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#enqueue();
    }, this.#debounceMs);
  }

  #matters(path: string): boolean {
    const scan = this.#scan;
    if (scan === undefined || scan.states.has(path) || scan.folders.has(path)) return true;
    return scan.open.has(dirname(path)) && !isIgnored(basename(path));
  }

  /** Compares what is on disk with what was, watches what must be watched, and tells when something changed. */
  async #look(): Promise<void> {
    for (let round = 0; round < 5 && !this.#isClosed; round++) {
      const scan = await scanSources(this.#sources);
      if (this.#isClosed) return;
      if (this.#scan !== undefined && hasChanged(this.#scan, scan, this.#toldAt)) this.#isDirty = true;
      this.#scan = scan;
      const wanted = JSON.stringify([...scan.folders].sort());
      if (wanted === this.#armed) break;
      await this.#arm(scan);
      this.#armed = wanted;
    }
    if (!this.#isDirty || this.#isClosed) return;
    this.#isDirty = false;
    this.#toldAt = Date.now();
    this.#onChange();
  }

  async #arm({ folders }: Scan): Promise<void> {
    const { watch } = await import("chokidar");
    const watcher = watch([...folders.keys()], {
      ignoreInitial: true,
      depth: 0,
      followSymlinks: false,
      atomic: false, // an atomic rename is a change, and the debounce joins its two events
      ignored: (path) => !this.#matters(resolve(path)),
    });
    watcher.on("all", (_event, path) => this.#onEvent(resolve(path)));
    // chokidar drops changes that follow another within 50 ms; what the system says comes unfiltered as "raw".
    watcher.on("raw", (_event, name, details) => {
      const { watchedPath } = details as { watchedPath?: string };
      const file = (name as string | null) ?? "";
      if (watchedPath === undefined) this.#onEvent(resolve(file));
      else this.#onEvent(folders.has(watchedPath) ? join(watchedPath, file) : watchedPath);
    });
    try {
      await once(watcher, "ready");
    } catch (error) {
      await watcher.close();
      throw error;
    }
    watcher.on("error", (error) => this.#onError(error as Error));
    const old = this.#watcher;
    this.#watcher = watcher;
    await old?.close();
  }
}

const isIgnored = (name: string): boolean =>
  name === "node_modules" || (name.startsWith(".") && name !== "..data");

/** Clocks of file systems lag behind by up to a tick. */
const TICK_MS = 10;

/** True when a path is not what it was, or is new here and changed since `since`. */
function hasChanged(before: Scan, after: Scan, since: number): boolean {
  for (const [path, { identity, changedAt }] of after.states) {
    const known = before.states.get(path);
    if (known === undefined ? changedAt > since - TICK_MS : known.identity !== identity) return true;
  }
  return false;
}

async function scanSources({ files, folders }: ConfigSources): Promise<Scan> {
  const scan: Scan = { states: new Map(), open: new Set(), folders: new Map() };
  for (const file of files) await follow(resolve(file), scan);
  for (const folder of folders) {
    const real = await follow(resolve(folder), scan);
    if (real !== undefined) scan.open.add(real);
  }
  for (const folder of [...scan.open, ...[...scan.states.keys()].map((path) => dirname(path))]) {
    const stats = await lstat(folder).catch(() => undefined); // gone since: the next look sees what is left
    if (stats?.isDirectory()) scan.folders.set(folder, stats.ino);
  }
  return scan;
}

/** Notes every link on the way to a path, and the path itself or what of it is missing. Gives the real path. */
async function follow(path: string, scan: Scan, links = 0): Promise<string | undefined> {
  const steps = path.split(sep).filter((step) => step !== "");
  let at: string = sep;
  for (const [i, step] of steps.entries()) {
    at = join(at, step);
    const stats = await lstat(at).catch(() => undefined); // missing: its appearance matters
    const isLast = i === steps.length - 1;
    if (stats === undefined) {
      scan.states.set(at, { identity: "missing", changedAt: 0 });
      return undefined;
    }
    const isLink = stats.isSymbolicLink();
    if (!isLink && !isLast) continue;
    const target = isLink ? await readlink(at).catch(() => "") : "";
    // The time of a folder changes with every file in it, also with those that do not matter.
    const content = stats.isDirectory() ? "folder" : `${stats.mtimeMs} ${stats.size}`;
    scan.states.set(at, { identity: `${stats.ino} ${content} ${target}`, changedAt: stats.ctimeMs });
    if (!isLink) return at;
    if (links >= 40 || target === "") return undefined;
    return follow(join(resolve(dirname(at), target), ...steps.slice(i + 1)), scan, links + 1);
  }
  return at;
}
