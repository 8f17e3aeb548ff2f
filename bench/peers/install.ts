/** Brings what the run needs: programs by apt-get where that may be, packages by npm, and Sluice built. */
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { findProgram } from "../support/process.ts";
import { contenders } from "./contenders/index.ts";

const ROOT = join(import.meta.dirname, "..", "..");

/** Without these there is no run. */
export const NEEDED = ["wrk", "nginx"] as const;

/** The Debian packages that are not there, by what the contenders say of themselves. */
export function findMissingPackages(): string[] {
  const needed = NEEDED.filter((name) => findProgram(name) === undefined);
  const ways = contenders.flatMap((contender) => {
    const found = contender.find();
    return "missing" in found ? (/^apt-get install (\S+)$/.exec(found.missing)?.[1] ?? []) : [];
  });
  return [...new Set([...needed, ...ways])];
}

function run(command: string, args: readonly string[]): boolean {
  console.log(`$ ${command} ${args.join(" ")}`);
  const { status } = spawnSync(command, args, {
    cwd: ROOT,
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  if (status !== 0) console.log(`  ended with ${status}`);
  return status === 0;
}

function installPrograms(): void {
  const packages = findMissingPackages();
  if (packages.length === 0) return;
  if (process.getuid?.() !== 0 || findProgram("apt-get") === undefined) {
    console.log(`missing; as root: apt-get install ${packages.join(" ")}`);
    return;
  }
  run("apt-get", ["update", "-q"]);
  // One by one: what this Debian does not have must not keep the others away.
  for (const name of packages) run("apt-get", ["install", "-qy", "--no-install-recommends", name]);
}

/** True when the lock file is newer than what was installed by it. */
function isStale(): boolean {
  const installed = join(import.meta.dirname, "node_modules", ".package-lock.json");
  const locked = join(import.meta.dirname, "package-lock.json");
  return !existsSync(installed) || statSync(installed).mtimeMs < statSync(locked).mtimeMs;
}

/** @param mayInstall without it, only Sluice is built */
export function prepare(mayInstall: boolean): void {
  if (mayInstall) {
    installPrograms();
    if (isStale())
      run("npm", ["ci", "--prefix", import.meta.dirname, "--ignore-scripts", "--no-audit", "--no-fund"]);
  }
  if (!run("npm", ["run", "--silent", "build"])) throw new Error("Sluice could not be built");
}
