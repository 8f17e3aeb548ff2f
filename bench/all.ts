/** Runs every bench, passes its arguments on (`--save`), and ends with the verdicts of all. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const BENCHES = ["routes", "floor", "body", "connections", "swap"] as const;

const verdicts: string[] = [];
for (const name of BENCHES) {
  console.log(`\n== ${name} ==`);
  const file = join(import.meta.dirname, `${name}.ts`);
  const args = [file, ...process.argv.slice(2)];
  const { status, stdout } = spawnSync(process.execPath, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  process.stdout.write(stdout);
  verdicts.push(...stdout.split("\n").filter((line) => /^(ok|MISSED) /.test(line)));
  if (status !== 0) process.exitCode = 1;
  if (status !== 0 && !stdout.includes("MISSED ")) verdicts.push(`FAILED ${name}: ended with ${status}`);
}
console.log(`\n== summary ==\n${verdicts.join("\n")}`);
