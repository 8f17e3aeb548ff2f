/** The package as a user gets it: packed, and installed into a folder of its own. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, relative, resolve } from "node:path";

/** The checkout. */
export const ROOT = resolve(import.meta.dirname, "../..");

/** The environment of somebody whose Node is the one that runs this, without what `npm test` adds. */
export const env: NodeJS.ProcessEnv = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_(?!config_)/.test(name))),
  npm_config_local_prefix: undefined,
  NO_COLOR: "1",
  PATH: [dirname(process.execPath), process.env["PATH"]].join(delimiter),
};

export interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end. */
export function run(file: string, args: readonly string[], cwd: string): Promise<Ended> {
  return new Promise((settle) => {
    const child = execFile(file, args, { cwd, env }, (_error, stdout, stderr) =>
      settle({ status: child.exitCode, stdout, stderr }),
    );
  });
}

async function npm(args: readonly string[], cwd: string): Promise<void> {
  const { status, stdout, stderr } = await run("npm", args, cwd);
  if (status !== 0) throw new Error(`npm ${args.join(" ")} ended with ${status}\n${stdout}${stderr}`);
}

export interface InstalledPackage {
  readonly tarball: string;
  /** A folder with nothing in it but a package.json and node_modules. */
  readonly folder: string;
  /** Where the package is. */
  readonly packageFolder: string;
  remove(): Promise<void>;
}

/** Packs the checkout and installs the tarball. */
export async function installPackage(): Promise<InstalledPackage> {
  const top = await mkdtemp(join(tmpdir(), "sluice-package-"));
  const remove = (): Promise<void> => rm(top, { recursive: true, force: true });
  try {
    const folder = join(top, "project");
    await mkdir(folder);
    await writeFile(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
    await npm(["pack", "--pack-destination", top], ROOT);
    const tarball = join(top, (await readdir(top)).find((name) => name.endsWith(".tgz"))!);
    await npm(["install", "--prefer-offline", "--no-audit", "--no-fund", tarball], folder);
    return { tarball, folder, packageFolder: join(folder, "node_modules/sluice"), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Paths of the files below a folder, from there; sorted. */
export async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  return files.map((entry) => relative(folder, join(entry.parentPath, entry.name))).sort();
}
