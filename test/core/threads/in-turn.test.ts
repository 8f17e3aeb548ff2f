import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { inTurn } from "../../../core/threads/in-turn.ts";

it("does one work after the other, whatever becomes of it", async () => {
  const seen: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = inTurn(async () => {
    seen.push("first begins");
    await gate.promise;
    seen.push("first ends");
    throw new Error("no luck");
  });
  const second = inTurn(async () => void seen.push("second"));
  await expect.poll(() => seen).toEqual(["first begins"]);
  gate.resolve();
  await expect(first).rejects.toThrow("no luck");
  await second;
  expect(seen).toEqual(["first begins", "first ends", "second"]);
});

it("waits for another process, until that ends", async () => {
  const module = new URL("../../../core/threads/in-turn.ts", import.meta.url).href;
  const folder = mkdtempSync(join(tmpdir(), "sluice-turn-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  // Its end is heard of here only after its turn is over.
  const end = join(folder, "end");
  const script = `import { writeFileSync } from "node:fs";
    import { inTurn } from "${module}";
    process.stdin.resume().on("end", () => {
      writeFileSync(${JSON.stringify(end)}, "");
      process.kill(process.pid, "SIGKILL");
    });
    await inTurn(() => new Promise(() => console.log("mine")));`;
  const other = spawn(process.execPath, ["--input-type=module", "--eval", script]);
  onTestFinished(() => void other.kill("SIGKILL"));
  await once(other.stdout, "data");
  const turn = inTurn(async () => existsSync(end));
  other.stdin.end();
  expect(await turn).toBe(true);
});
