import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ConfigSources } from "../../../core/config/load.ts";
import { type Watcher, watchConfig } from "../../../core/config/watch.ts";
import { TempFolder } from "./temp-folder.ts";

let folder: TempFolder;
let watcher: Watcher | undefined;
beforeEach(() => {
  folder = new TempFolder();
});
afterEach(async () => {
  await watcher?.close();
  watcher = undefined;
  folder.remove();
});

/** Counts signals, and waits for the next one that has not been waited for. */
class Signals {
  count = 0;
  #seen = 0;
  #wake: (() => void) | undefined;

  readonly add = (): void => {
    this.count++;
    this.#wake?.();
  };

  async next(): Promise<void> {
    while (this.count === this.#seen) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#seen = this.count;
  }
}

const path = (...names: string[]): string => join(folder.path, ...names);

async function watch(sources: Partial<ConfigSources>): Promise<Signals> {
  const signals = new Signals();
  watcher = await watchConfig({ files: [], folders: [], ...sources }, signals.add, { debounceMs: 10 });
  return signals;
}

describe("watchConfig", () => {
  it("tells of a plain write", async () => {
    const file = folder.write("gateway.yaml", "a");
    const signals = await watch({ files: [file] });
    writeFileSync(file, "b");
    await signals.next();
    writeFileSync(file, "c, after the first signal");
    await signals.next();
  });

  it("tells of atomic renames, again and again", async () => {
    const file = folder.write("gateway.yaml", "a");
    const signals = await watch({ files: [file] });
    for (let i = 0; i < 5; i++) {
      renameSync(folder.write("gateway.yaml.tmp", `version ${i}`), file);
      await signals.next();
    }
  });

  it("tells of the swap of a ConfigMap, again and again", async () => {
    folder.write("..v0/gateway.yaml", "0");
    symlinkSync("..v0", path("..data"));
    symlinkSync("..data/gateway.yaml", path("gateway.yaml"));
    const signals = await watch({ files: [path("gateway.yaml")] });
    for (let i = 1; i <= 3; i++) {
      folder.write(`..v${i}/gateway.yaml`, String(i));
      symlinkSync(`..v${i}`, path("..data_tmp"));
      renameSync(path("..data_tmp"), path("..data"));
      rmSync(path(`..v${i - 1}`), { recursive: true });
      await signals.next();
    }
  });

  it("tells of a write to the file behind a link in another folder", async () => {
    const real = folder.write("elsewhere/real.yaml", "a");
    symlinkSync("elsewhere/real.yaml", path("gateway.yaml"));
    const signals = await watch({ files: [path("gateway.yaml")] });
    writeFileSync(real, "b");
    await signals.next();
  });

  it("tells of a folder that was deleted and made anew, and of changes in it afterwards", async () => {
    const file = folder.write("etc/gateway.yaml", "a");
    const signals = await watch({ files: [file] });
    rmSync(path("etc"), { recursive: true });
    await signals.next();
    folder.write("etc/gateway.yaml", "b");
    await signals.next();
    for (let i = 0; i < 3; i++) {
      writeFileSync(file, `write ${i} after that`);
      await signals.next();
    }
  });

  it("tells of a missing file that appears, below folders that were missing too", async () => {
    const signals = await watch({ files: [path("a/b/secret")] });
    folder.write("a/b/secret", "s");
    await signals.next();
    writeFileSync(path("a/b/secret"), "another");
    await signals.next();
  });

  it("tells of new and deleted files in a folder whose files are included", async () => {
    const file = folder.write("gateway.yaml", "a");
    mkdirSync(path("conf.d"));
    const signals = await watch({ files: [file], folders: [path("conf.d")] });
    const added = folder.write("conf.d/a.yaml", "a");
    await signals.next();
    rmSync(added);
    await signals.next();
  });

  it("follows other files after an update", async () => {
    const first = folder.write("first/gateway.yaml", "a");
    const second = folder.write("second/gateway.yaml", "a");
    const signals = await watch({ files: [first] });
    watcher!.update({ files: [first, second], folders: [] });
    writeFileSync(second, "b, maybe before the update is done");
    await signals.next();
    writeFileSync(second, "c");
    await signals.next();
  });

  it("says nothing of other files in the same folder", async () => {
    const file = folder.write("gateway.yaml", "a");
    folder.write("access.log", "1");
    const signals = await watch({ files: [file] });
    writeFileSync(path("access.log"), "12");
    folder.write("new.log", "1");
    folder.write("node_modules/x.yaml", "x");
    writeFileSync(file, "b");
    await signals.next();
    expect(signals.count).toBe(1);
  });

  it("joins a burst of changes", async () => {
    const file = folder.write("gateway.yaml", "a");
    const signals = new Signals();
    watcher = await watchConfig({ files: [file], folders: [] }, signals.add, { debounceMs: 200 });
    for (let i = 0; i < 20; i++) writeFileSync(file, `${i}`);
    await signals.next();
    expect(signals.count).toBe(1);
  });

  it("says nothing after close", async () => {
    const file = folder.write("gateway.yaml", "a");
    const closed = await watch({ files: [file] });
    writeFileSync(file, "b");
    await watcher!.close();
    const count = closed.count;
    const open = await watch({ files: [file] });
    writeFileSync(file, "c, which a watcher that is open sees");
    await open.next();
    expect(closed.count).toBe(count);
  });
});
