/** Programs of the system that a test needs. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/**
 * Finds a program; where it is missing and we may, installs Debian's package.
 * @throws Error that says how to get it
 */
export function requireProgram(name: string, debianPackage: string): string {
  const found = find(name);
  if (found !== undefined) return found;
  const how = `apt-get install ${debianPackage}`;
  if (process.getuid?.() === 0 && find("apt-get") !== undefined) {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    for (const args of [["update"], ["install", "-y", "--no-install-recommends", debianPackage]]) {
      spawnSync("apt-get", args, { env, stdio: "ignore" });
    }
  }
  const installed = find(name);
  if (installed === undefined) throw new Error(`this test needs ${name}: ${how}`);
  return installed;
}

function find(name: string): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}
