/**
 * How many exchanges at once an upstream can take, learned from its latency. Like Envoy's gradient controller: the
 * latency under light load is measured now and then (the baseline), and the limit shrinks by as much as the latency
 * of the last window is above it. A headroom of the limit's square root makes it grow while latency stays.
 */

export interface GradientOptions {
  /** Least and most that the limit can be. */
  readonly min: number;
  readonly max: number;
  /** The limit after the first measurement of the baseline. */
  readonly initial: number;
  /** Latency that is still as good as the baseline: 0.25 for a quarter above it. */
  readonly tolerance: number;
  /** Least length of a window in milliseconds. */
  readonly windowMs: number;
  /** Milliseconds between two measurements of the baseline. */
  readonly baselineMs: number;
}

/** Samples that a window, and a measurement of the baseline, need at least. */
const WINDOW_SAMPLES = 20;
const BASELINE_SAMPLES = 25;
/** Samples of a window that are kept: the latest. */
const KEPT_SAMPLES = 256;
/** The most that one window can take off the limit. */
const LEAST_GRADIENT = 0.5;
/** How much of a window's verdict is believed. */
const SMOOTHING = 0.5;
/** A verdict from this share of the limit on leaves it where it is, more or less. */
const SETTLED = 0.95;
/** Where the headroom stops the fall: half of it and its root are as much as it is. */
const LEAST_LIMIT = 4;
/** Windows with the limit as low as it goes, after which the baseline itself is in doubt. */
const WINDOWS_AT_BOTTOM = 5;

export class GradientLimit {
  readonly options: GradientOptions;
  /** The limit now, a whole number. */
  limit: number;
  /** Latency under light load in milliseconds; 0 before it was measured. */
  baseline = 0;
  /** Lent by the newest generation, so that no older one is kept. */
  random: () => number;
  readonly #samples = new Float64Array(KEPT_SAMPLES);
  #count = 0;
  #failures = 0;
  #windowEnd = 0;
  /** Most exchanges at once in this window. */
  #peak = 0;
  #estimate: number;
  #windowsAtBottom = 0;
  #measureAt = 0;
  #measuring = true;
  /** Exchanges admitted since then tell the baseline; infinite while those of before are under way. */
  #measureFrom = 0;

  constructor(options: GradientOptions, random: () => number) {
    this.options = options;
    this.random = random;
    this.#estimate = options.initial;
    this.limit = options.min;
  }

  /** So many exchanges are in now. */
  entered(inFlight: number): void {
    if (inFlight > this.#peak) this.#peak = inFlight;
  }

  /**
   * An exchange was answered.
   * @returns true when the limit has grown
   */
  answered(startedAt: number, now: number, inFlight: number): boolean {
    if (startedAt < this.#measureFrom && this.#measuring) return this.#look(now, inFlight);
    this.#samples[this.#count++ % KEPT_SAMPLES] = now - startedAt;
    return this.#look(now, inFlight);
  }

  /**
   * An exchange failed in a way that too much load may cause.
   * @returns true when the limit has grown
   */
  failed(now: number, inFlight: number): boolean {
    this.#failures++;
    return this.#look(now, inFlight);
  }

  #look(now: number, inFlight: number): boolean {
    const before = this.limit;
    if (this.#measuring) this.#measure(now, inFlight);
    else if (now >= this.#windowEnd && this.#count + this.#failures >= WINDOW_SAMPLES)
      this.#closeWindow(now, inFlight);
    return this.limit > before;
  }

  /** Waits until the load is light, then for enough samples. */
  #measure(now: number, inFlight: number): void {
    if (this.#measureFrom === Number.POSITIVE_INFINITY && inFlight <= this.limit) this.#measureFrom = now;
    const isDone = this.#count >= BASELINE_SAMPLES;
    const isHopeless = this.baseline > 0 && this.#failures >= BASELINE_SAMPLES;
    if (!isDone && !isHopeless) return;
    if (isDone) this.baseline = this.#median();
    this.#measuring = false;
    this.#windowsAtBottom = 0;
    this.#measureAt = now + this.options.baselineMs * (0.9 + 0.2 * this.random());
    this.#setLimit(this.#estimate);
    this.#openWindow(now, this.baseline, inFlight);
  }

  #closeWindow(now: number, inFlight: number): void {
    const { min, tolerance } = this.options;
    const failed = this.#failures / (this.#count + this.#failures);
    const latency = this.#count === 0 ? this.baseline : this.#median();
    const gradient = Math.max(
      LEAST_GRADIENT,
      Math.min(1, ((1 + tolerance) * this.baseline) / latency, 1 - failed / 2),
    );
    const target = this.#estimate * gradient + Math.sqrt(this.#estimate) * (1 - failed);
    // While the limit falls there are too many in: half of them may still be, and would spoil the baseline.
    const isDue = now >= this.#measureAt && target > this.#estimate * SETTLED;
    // A limit that nobody comes near says nothing about what the upstream could take.
    if (target < this.#estimate || this.#peak * 2 >= this.limit) {
      this.#setLimit(this.#estimate + (target - this.#estimate) * SMOOTHING);
    }
    this.#windowsAtBottom = this.limit <= Math.max(min, LEAST_LIMIT) ? this.#windowsAtBottom + 1 : 0;
    this.#openWindow(now, latency, inFlight);
    if (isDue || (this.#windowsAtBottom >= WINDOWS_AT_BOTTOM && gradient < 1)) {
      this.#measuring = true;
      this.#measureFrom = Number.POSITIVE_INFINITY;
      this.limit = Math.max(min, Math.floor(this.#estimate / 2));
    }
  }

  /** A window is long enough for exchanges that began in it to show what the limit did. */
  #openWindow(now: number, latency: number, inFlight: number): void {
    this.#count = 0;
    this.#failures = 0;
    this.#peak = inFlight;
    this.#windowEnd = now + Math.max(this.options.windowMs, 2 * latency);
  }

  #setLimit(estimate: number): void {
    const { min, max } = this.options;
    this.#estimate = Math.min(max, Math.max(min, estimate));
    this.limit = Math.floor(this.#estimate);
  }

  #median(): number {
    const sorted = this.#samples.slice(0, Math.min(this.#count, KEPT_SAMPLES)).sort();
    // A latency of nothing would make every other one infinitely worse.
    return Math.max(0.1, sorted[sorted.length >> 1]!);
  }
}
