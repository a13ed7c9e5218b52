/** Notices that an engine which has work says nothing. */

export interface StepDeadlineOptions {
  readonly timeoutMs: number;
  /** Monotonic clock. */
  now(): number;
  /** Does the engine owe a message? */
  hasWork(): boolean;
  /** Called once; the deadline is stopped then. `silentMs`: how long nothing was heard. */
  onExpired(silentMs: number): void;
}

/** Watches one engine process. A process cannot answer during a native call, so its silence is all there is to see. */
export class StepDeadline {
  readonly #options: StepDeadlineOptions;
  #heardAtMs: number;
  #extraMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(options: StepDeadlineOptions) {
    this.#options = options;
    this.#heardAtMs = options.now();
  }

  /** The engine said something. `extraMs`: what it does now may take so much longer than the timeout. */
  heard(extraMs = 0): void {
    this.#heardAtMs = this.#options.now();
    this.#extraMs = extraMs;
  }

  /** There is more work now. The time starts here if the engine was idle before. */
  workAdded(wasIdle: boolean): void {
    if (this.#stopped) return;
    if (wasIdle) this.heard();
    if (this.#timer === null) this.#arm(this.#options.timeoutMs);
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #arm(delayMs: number): void {
    this.#timer = setTimeout(() => {
      if (this.#remainingMs() > 0) this.#check();
      // This process itself may have been held up: messages that are already here are read before the verdict.
      else this.#timer = setTimeout(() => setImmediate(() => this.#check()), 0);
    }, delayMs);
  }

  #check(): void {
    if (this.#stopped) return;
    this.#timer = null;
    if (!this.#options.hasWork()) return;
    const remainingMs = this.#remainingMs();
    if (remainingMs > 0) {
      this.#arm(remainingMs);
      return;
    }
    this.stop();
    this.#options.onExpired(this.#options.now() - this.#heardAtMs);
  }

  #remainingMs(): number {
    return this.#heardAtMs + this.#options.timeoutMs + this.#extraMs - this.#options.now();
  }
}
