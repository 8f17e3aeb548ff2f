/** Why a circuit is in its state: numbers in memory, text for people. */

const TEXTS = {
  none: () => "",
  failuresInARow: (count) => `${count} failures in a row`,
  failures: (count, of) => `${count} of ${of} requests failed`,
  slowCalls: (count, of) => `${count} of ${of} calls were slow`,
  openForIsOver: () => "openFor is over",
  probeFailed: () => "a probe failed",
  probeSlow: () => "a probe was slow",
  probesPassed: () => "the probes went well",
  recoveryFailed: () => "failures during recovery",
  recoverySlow: () => "slow calls during recovery",
  letGo: () => "no longer forced",
  reset: () => "reset",
} as const satisfies Record<string, (count: number, of: number) => string>;

const NAMES = Object.keys(TEXTS) as (keyof typeof TEXTS)[];

/** Why a circuit changes. */
export interface Reason {
  readonly name: keyof typeof TEXTS;
  readonly count?: number;
  readonly of?: number;
}

/** The number that stands for a name; 0 for none. */
export function codeOf(name: Reason["name"]): number {
  return NAMES.indexOf(name);
}

/** @param code of the name; 0 when it never changed */
export function renderReason(code: number, count: number, of: number): string {
  return TEXTS[NAMES[code]!](count, of);
}
