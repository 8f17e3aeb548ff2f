/**
 * `sluice start` as a supervisor: this process runs the gateway in another one. It loads nothing but Node's own
 * modules and this folder, to be small and to outlive what the gateway may run into.
 */
import { spawnGateway } from "./gateway-process.ts";
import { followSignals } from "./signals.ts";
import { Supervisor } from "./supervisor.ts";
import { createNotify } from "./systemd.ts";

/** Runs the gateway until SIGTERM or SIGINT, or until it ends for good; gives the exit status. */
export async function supervise(): Promise<number> {
  const say = (line: string): void => void process.stderr.write(`sluice: ${line}\n`);
  const supervisor = new Supervisor({ spawn: spawnGateway, notify: createNotify(process.env, say), say });
  // Nobody may read what is said any more; that is no reason to end.
  process.stderr.on("error", () => {});
  followSignals({
    stop: () => supervisor.stop(),
    reload: () => supervisor.reload(),
    upgrade: () => supervisor.upgrade(),
  });
  return supervisor.ended;
}
