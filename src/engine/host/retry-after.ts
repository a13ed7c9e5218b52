/** How long a client that was turned away should wait. */

/** The newest requests that are looked at. */
const windowSize = 128;
const minS = 1;
const maxS = 60;

/** Knows how quickly requests have been finishing. Times from a monotonic clock, in milliseconds. */
export class FinishRate {
  #finishedAtMs: number[] = [];

  /** A request ended. */
  finished(nowMs: number): void {
    this.#finishedAtMs.push(nowMs);
    if (this.#finishedAtMs.length > 2 * windowSize)
      this.#finishedAtMs = this.#finishedAtMs.slice(-windowSize);
  }

  /** Seconds until `waiting` requests have probably been worked off: 1 to 60; 1 when nothing has finished yet. */
  retryAfterS(waiting: number, nowMs: number): number {
    const recent = this.#finishedAtMs.slice(-windowSize);
    const oldest = recent[0];
    if (oldest === undefined) return minS;
    const perRequestMs = (nowMs - oldest) / recent.length;
    return Math.min(maxS, Math.max(minS, Math.ceil((waiting * perRequestMs) / 1_000)));
  }
}
