/** What stages above a balancer have to say about its targets, and what they hear of those that were asked. */
import type { Exchange, GatewayError, Reply, Target, TargetGuard } from "./plugin.ts";

/** Has a guard asked for the targets of an exchange. */
export function addGuard(x: Exchange, guard: TargetGuard): void {
  if (x.guards === undefined) x.guards = [guard];
  else x.guards.push(guard);
}

/** Takes a guard off again. */
export function removeGuard(x: Exchange, guard: TargetGuard): void {
  const { guards } = x;
  if (guards === undefined) return;
  if (guards.length === 1 && guards[0] === guard) x.guards = undefined;
  else x.guards = guards.filter((each) => each !== guard);
}

/** Whether every guard lets the exchange go to the target. */
export function isAdmitted(x: Exchange, target: Target): boolean {
  const { guards } = x;
  if (guards === undefined) return true;
  for (let i = 0; i < guards.length; i++) {
    if (guards[i]!.admit(target, x)) continue;
    for (let j = 0; j < i; j++) guards[j]!.settle?.(target, x, undefined, undefined);
    return false;
  }
  return true;
}

/** Why nothing is left to ask, when a guard refused what there was. */
export function findRefusal(x: Exchange): GatewayError | undefined {
  for (const guard of x.guards ?? []) {
    const refusal = guard.refusal?.();
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

/** Sends the exchange to a target that its guards have admitted, and tells them what came of it. */
export function forwardTo(target: Target, x: Exchange): Promise<Reply> {
  return x.guards === undefined ? target.forward(x) : forwardGuarded(target, x);
}

async function forwardGuarded(target: Target, x: Exchange): Promise<Reply> {
  const guards = x.guards!;
  let reply: Reply;
  try {
    reply = await target.forward(x);
  } catch (error) {
    for (let i = 0; i < guards.length; i++) guards[i]!.settle?.(target, x, undefined, error);
    throw error;
  }
  for (let i = 0; i < guards.length; i++) guards[i]!.settle?.(target, x, reply, undefined);
  return reply;
}
