/** Active health checks: asks each target at intervals whether it is well. */
import type { ActiveHealthConfig, TargetTlsConfig } from "../../config/checked.ts";
import type { Monitor, TargetState } from "../target-state.ts";

export class HealthMonitor implements Monitor {
  readonly key: string;

  constructor(
    key: string,
    _config: ActiveHealthConfig,
    _tls: TargetTlsConfig | undefined,
    _random: () => number,
  ) {
    this.key = key;
  }

  update(_targets: readonly TargetState[]): void {}

  close(): void {}
}
