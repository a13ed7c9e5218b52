/** When a failed engine is started again, and when its failures are a loop. State without timers or processes. */

/** What follows on a failure: another start after `delayMs`, as a normal restart or as a rare try of a hopeless engine. */
export interface CrashDecision {
  readonly kind: "restart" | "loop";
  readonly delayMs: number;
}

export interface CrashPolicyOptions {
  /** Failures in a row, none with a completed step, that are a loop. */
  readonly maxFailures?: number;
  /** So many failures within `rateWindowMs` are a loop, whatever was done between them. */
  readonly maxFailuresInWindow?: number;
  readonly rateWindowMs?: number;
  /** A process that was ready this long was healthy, even if it had nothing to do. */
  readonly healthyMs?: number;
  /** Delay of the restart after the second failure in a row; each further one doubles it. After the first: at once. */
  readonly firstDelayMs?: number;
  /** Delay of the tries after a loop was recognised. */
  readonly loopDelayMs?: number;
}

/** Counts the failures of one engine. */
export class CrashPolicy {
  readonly #maxFailures: number;
  readonly #maxFailuresInWindow: number;
  readonly #rateWindowMs: number;
  readonly #healthyMs: number;
  readonly #firstDelayMs: number;
  readonly #loopDelayMs: number;
  #failuresInARow = 0;
  #failedAtMs: number[] = [];

  constructor({
    maxFailures = 5,
    maxFailuresInWindow = 20,
    rateWindowMs = 600_000,
    healthyMs = 60_000,
    firstDelayMs = 100,
    loopDelayMs = 30_000,
  }: CrashPolicyOptions = {}) {
    this.#maxFailures = maxFailures;
    this.#maxFailuresInWindow = maxFailuresInWindow;
    this.#rateWindowMs = rateWindowMs;
    this.#healthyMs = healthyMs;
    this.#firstDelayMs = firstDelayMs;
    this.#loopDelayMs = loopDelayMs;
  }

  /** A step was completed, or the request at fault was ended: failures before it are no loop. */
  progress(): void {
    this.#failuresInARow = 0;
  }

  /** The engine died or did not load. `readyForMs`: how long it had been ready; null if it never was. `nowMs`: monotonic. */
  failure(readyForMs: number | null, nowMs: number): CrashDecision {
    if (readyForMs !== null && readyForMs >= this.#healthyMs) this.#failuresInARow = 0;
    this.#failuresInARow += 1;
    const inARow = this.#failuresInARow;
    this.#failedAtMs = this.#failedAtMs.filter((atMs) => nowMs - atMs < this.#rateWindowMs);
    this.#failedAtMs.push(nowMs);
    const isLoop = inARow >= this.#maxFailures || this.#failedAtMs.length >= this.#maxFailuresInWindow;
    if (isLoop) return { kind: "loop", delayMs: this.#loopDelayMs };
    return { kind: "restart", delayMs: inARow === 1 ? 0 : this.#firstDelayMs * 2 ** (inARow - 2) };
  }
}

/** How a request is treated that was running in `crashes` crashes. */
export function judgeRequest(crashes: number): "together" | "alone" | "end" {
  if (crashes >= 3) return "end";
  return crashes === 2 ? "alone" : "together";
}
