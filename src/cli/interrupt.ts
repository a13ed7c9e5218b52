/** How commands are stopped by signals. */
import { InkstoneError } from "../errors.ts";
import { signalExitCodes } from "./context.ts";
import type { CliContext, StopSignal } from "./context.ts";

/** A signal sent twice by one keypress (by the terminal and again by a parent such as npm) counts once for so long. */
const repeatMs = 500;

/** The error `interrupted` of work that a signal stopped. */
export class StoppedBySignal extends InkstoneError {
  readonly signal: StopSignal;

  constructor(signal: StopSignal) {
    super("interrupted", `stopped by ${signal}`);
    this.signal = signal;
  }
}

type SignalContext = Pick<CliContext, "onSignal" | "exitNow" | "now">;

/**
 * Calls `onStop` at the first stop signal; a later one ends the process at once, unless it follows within half a second.
 * Returns what ends the listening.
 */
export function listenForStop(
  context: SignalContext,
  onStop: (stopped: StoppedBySignal) => void,
): () => void {
  let firstMs: number | null = null;
  return context.onSignal((signal) => {
    if (firstMs === null) {
      firstMs = context.now();
      onStop(new StoppedBySignal(signal));
    } else if (Math.abs(context.now() - firstMs) >= repeatMs) {
      context.exitNow(signalExitCodes[signal]);
    }
  });
}

/**
 * Runs work that Ctrl+C (or SIGTERM) stops cleanly through the signal that it is given; the second one ends the process at
 * once. Throws `StoppedBySignal` when the work was stopped.
 */
export async function interruptible<T>(
  context: SignalContext,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const abort = new AbortController();
  const stopListening = listenForStop(context, (stopped) => abort.abort(stopped));
  try {
    return await work(abort.signal);
  } catch (error) {
    throw abort.signal.aborted ? abort.signal.reason : error;
  } finally {
    stopListening();
  }
}
