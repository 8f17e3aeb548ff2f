/** Passive health: ejects targets that fail the requests themselves. */
import type { PassiveHealthConfig } from "../../config/checked.ts";
import type { ErrorCode } from "../../errors.ts";
import type { Clock } from "../../plugin.ts";
import type { TargetState } from "../target-state.ts";

export class OutlierDetector {
  constructor(_config: PassiveHealthConfig, _clock: Clock, _members: () => readonly TargetState[]) {}

  /**
   * A request to a target has ended.
   * @param status of its reply; 0 when there was none
   * @param failure what went wrong with the target; undefined also when the client gave up
   */
  observe(_state: TargetState, _status: number, _failure: ErrorCode | undefined): void {}
}
