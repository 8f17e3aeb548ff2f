/** Loaded before a process under test with `--expose-gc`: SIGUSR2 collects garbage and tells the heap in use. */
process.on("SIGUSR2", () => {
  globalThis.gc?.();
  process.stderr.write(`heap ${process.memoryUsage().heapUsed}\n`);
});
