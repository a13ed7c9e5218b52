/** What the engine's and the tokeniser's process have in common: the pipe to the parent, and ending with it. */
import { Worker } from "node:worker_threads";
import { resolveEntry } from "./entries.ts";
import { toWireError } from "./messages.ts";
import type { WireError } from "./messages.ts";

/** The child's end of the pipe. */
export interface ParentChannel<Out> {
  /** Sends a message; what was posted before a crash of this process still arrives. */
  post(message: Out): void;
  /** Messages that were posted and not yet taken by the pipe. */
  readonly backlog: number;
  /** Ends the process when all that was posted has been taken by the pipe. */
  exit(code: number): void;
}

/**
 * Connects this process with the parent that forked it. The process ignores the signals that a terminal or a service
 * manager sends to the whole group (the parent decides), and ends when the parent does. A message that throws, and an
 * uncaught error, are posted as `fatal` and end the process.
 */
export function connectParent<Out>(
  onMessage: (message: unknown, channel: ParentChannel<Out | FatalMessage>) => Promise<void>,
): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
  process.on("disconnect", () => process.exit(0));
  new Worker(resolveEntry("orphan-watch"), { workerData: Number(process.argv[2]) }).unref();

  let backlog = 0;
  let exitCode: number | null = null;
  const exitIfDone = (): void => {
    if (exitCode !== null && backlog === 0) process.exit(exitCode);
  };
  const channel: ParentChannel<Out | FatalMessage> = {
    post(message) {
      if (!process.connected) return;
      backlog += 1;
      process.send?.(message, undefined, undefined, () => {
        backlog -= 1;
        exitIfDone();
      });
    },
    get backlog() {
      return backlog;
    },
    exit(code) {
      exitCode = code;
      exitIfDone();
    },
  };
  const fatal = (error: unknown): void => {
    channel.post({ type: "fatal", error: toWireError(error) });
    channel.exit(1);
  };
  process.on("uncaughtException", fatal);
  process.on("unhandledRejection", fatal);
  process.on("message", (message) => {
    onMessage(message, channel).catch(fatal);
  });
}

/** The last message of a child that can not go on. */
export interface FatalMessage {
  readonly type: "fatal";
  readonly error: WireError;
}
