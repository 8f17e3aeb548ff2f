/** Granted secrets: scripts know their names only, and what they are used for is done here. */
import type { HookRun } from "./hook-run.ts";

/** A secret as a script gives it back: its name, and a text before its value. */
export type SecretUse = readonly [name: string, prefix: string];

export function isSecret(value: unknown): value is SecretUse {
  return Array.isArray(value) && typeof value[0] === "string" && typeof value[1] === "string";
}

/** The prefix and the value. @throws Error when it is not granted */
export function secretText(run: HookRun, [name, prefix]: SecretUse): string {
  const { secrets } = run.stage.grants;
  if (Object.hasOwn(secrets, name)) return prefix + secrets[name]!;
  throw new Error(`The secret ${JSON.stringify(name.slice(0, 100))} is not granted to this stage`);
}
