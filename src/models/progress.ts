/** Turns received bytes into progress reports with a moving average, at most ten a second. */
import type { FetchProgress } from "./types.ts";

/** Counts bytes of one transfer and reports them. */
export interface ProgressMeter {
  /** `receivedBytes` in all, so far. */
  update(receivedBytes: number): void;
  /** Reports the last state, however recent the report before it was. */
  finish(): void;
}

/** What is measured. */
export interface ProgressOptions {
  readonly label: string;
  readonly totalBytes: number | null;
  readonly phase: FetchProgress["phase"];
  readonly onProgress: ((progress: FetchProgress) => void) | undefined;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  /** Bytes that were there at the start: they count as received, not towards the rate. */
  readonly initialBytes?: number;
}

const intervalMs = 100;
const windowMs = 5_000;

/** A meter for one transfer. */
export function createProgressMeter(options: ProgressOptions): ProgressMeter {
  const { label, totalBytes, phase, onProgress, now, initialBytes = 0 } = options;
  let receivedBytes = initialBytes;
  let reportedAtMs = Number.NEGATIVE_INFINITY;
  const samples: { atMs: number; bytes: number }[] = [{ atMs: now(), bytes: initialBytes }];

  const report = (atMs: number): void => {
    reportedAtMs = atMs;
    samples.push({ atMs, bytes: receivedBytes });
    while (samples.length > 2 && atMs - (samples[0]?.atMs ?? atMs) > windowMs) samples.shift();
    const first = samples[0] ?? { atMs, bytes: receivedBytes };
    const elapsedMs = atMs - first.atMs;
    const gained = Math.max(0, receivedBytes - first.bytes);
    const bytesPerSecond = elapsedMs > 0 ? (gained / elapsedMs) * 1000 : 0;
    onProgress?.({ label, receivedBytes, totalBytes, bytesPerSecond, phase });
  };

  return {
    update: (bytes) => {
      receivedBytes = bytes;
      const atMs = now();
      if (atMs - reportedAtMs >= intervalMs) report(atMs);
    },
    finish: () => report(now()),
  };
}
