import { InkstoneError } from "../errors.ts";
import { signalExitCodes } from "./context.ts";
import type { CliContext } from "./context.ts";

/**
 * Runs work that Ctrl+C (or SIGTERM) stops cleanly through the signal that it is given; the second one ends the process at
 * once. Throws `interrupted` when the work was stopped.
 */
export async function interruptible<T>(
  context: Pick<CliContext, "onSignal" | "exitNow">,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const abort = new AbortController();
  const stopListening = context.onSignal((signal) => {
    if (abort.signal.aborted) context.exitNow(signalExitCodes[signal]);
    abort.abort(new InkstoneError("interrupted", `stopped by ${signal}`));
  });
  try {
    return await work(abort.signal);
  } catch (error) {
    throw abort.signal.aborted ? abort.signal.reason : error;
  } finally {
    stopListening();
  }
}
