/** Runs every bench with the arguments it was given (`--save`), and ends with the verdicts of all. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

const BENCHES = [
  "routes",
  "floor",
  "body",
  "connections",
  "swap",
  "upstreams",
  "failure",
  "restart",
  "shared-memory",
  "limit",
  "cache",
  "auth",
  "signatures",
  "script",
  "script-memory",
  "script-swap",
] as const;

const verdicts: string[] = [];
for (const name of BENCHES) {
  console.log(`\n== ${name} ==`);
  const file = join(import.meta.dirname, `${name}.ts`);
  const child = spawn(process.execPath, [file, ...process.argv.slice(2)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const closed = once(child, "close");
  for await (const line of createInterface({ input: child.stdout })) {
    console.log(line);
    if (/^(ok|MISSED) /.test(line)) verdicts.push(line);
  }
  const [status, signal] = await closed;
  if (status === 0) continue;
  process.exitCode = 1;
  if (status !== 1 || !verdicts.some((line) => line.startsWith(`MISSED ${name}:`)))
    verdicts.push(`MISSED ${name}: ended with ${signal ?? status}`);
}
console.log(`\n== summary ==\n${verdicts.join("\n")}`);
