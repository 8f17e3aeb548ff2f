import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/fixtures/**"],
    // No promises of speed: what hangs is to end, on the busiest machine.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
    pool: "forks",
    execArgv: ["--expose-gc"],
    maxWorkers: 2,
    coverage: {
      provider: "v8",
      include: ["core/**", "plugins/**"],
      exclude: ["core/main.ts", "core/cli/write-*.ts"],
      reporter: ["text-summary", "text"],
      thresholds: { "core/**": { lines: 90, statements: 90 } },
    },
  },
});
