/**
 * Tells systemd how it goes, with its own program: Node has no datagram sockets in the file system. The unit needs
 * `NotifyAccess=all`, because what it hears comes from a child of the process that it started.
 */
import { spawn } from "node:child_process";

/** Sends variables as sd_notify(3) describes them, such as `READY=1`. */
export type Notify = (state: Record<string, string>) => void;

/** What is told before a reload; READY=1 follows. */
export function reloading(): Record<string, string> {
  return { RELOADING: "1", MONOTONIC_USEC: String(process.hrtime.bigint() / 1000n) };
}

/**
 * What a service tells systemd; does nothing without NOTIFY_SOCKET. Where the unit has a watchdog, it is fed from
 * now on.
 * @param warn told once when the program is missing or fails
 */
export function createNotify(env: NodeJS.ProcessEnv, warn: (line: string) => void): Notify {
  if (!env["NOTIFY_SOCKET"]) return () => {};
  let hasWarned = false;
  // One after the other, so that they arrive in order.
  let last: Promise<void> = Promise.resolve();
  const run = (args: string[]): Promise<void> =>
    new Promise((resolve) => {
      const fail = (reason: string): void => {
        if (!hasWarned) warn(`systemd is not told how it goes: systemd-notify ${reason}`);
        hasWarned = true;
        resolve();
      };
      const child = spawn("systemd-notify", args, { env, stdio: "ignore" });
      child.on("error", (error) => fail(`cannot be run: ${error.message}`));
      child.on("exit", (status, signal) =>
        status === 0 ? resolve() : fail(`ended with ${signal ?? status}`),
      );
    });
  const notify: Notify = (state) => {
    const args = Object.entries(state).map(([name, value]) => `${name}=${value.replaceAll("\n", " ")}`);
    last = last.then(() => run(args));
  };
  const watchdogMs = Number(env["WATCHDOG_USEC"]) / 1000;
  const isForUs = [undefined, String(process.pid)].includes(env["WATCHDOG_PID"]);
  if (watchdogMs > 0 && isForUs) setInterval(() => notify({ WATCHDOG: "1" }), watchdogMs / 2).unref();
  return notify;
}
