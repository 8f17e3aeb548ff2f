/** Benches with many connections need more open files than shells allow by default. */
import { spawnSync } from "node:child_process";

/** Starts this bench again with as many open files as it needs. @returns false when so many are not allowed */
export function raiseOpenFiles(count: number): boolean {
  const soft = spawnSync("sh", ["-c", "ulimit -n"], { encoding: "utf8" }).stdout.trim();
  if (soft === "unlimited" || Number(soft) >= count) return true;
  if (process.env["BENCH_RAISED"] !== undefined) return false;
  const script = `ulimit -n ${count} 2>/dev/null || ulimit -n $(ulimit -Hn); exec "$@"`;
  const command = [process.execPath, ...process.argv.slice(1)];
  const { status } = spawnSync("sh", ["-c", script, "sh", ...command], {
    stdio: "inherit",
    env: { ...process.env, BENCH_RAISED: "1" },
  });
  process.exit(status ?? 1);
}
