/** A child process as its parent sees it: started, spoken to, and known to be gone exactly once. */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { readProcessInputs } from "../../config/process-inputs.ts";
import { resolveEntry } from "./entries.ts";
import type { EntryName } from "./entries.ts";

/** Where the host writes its log; pino fits. */
export interface HostLogger {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/** How a child ended. */
export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What happened, for the log. */
  readonly reason: string;
  /** The last lines that it wrote to stderr. */
  readonly lastLines: readonly string[];
}

export interface ManagedChild<Out> {
  readonly pid: number | undefined;
  /** Sends a message; ignored when the child is gone. */
  send(message: Out): void;
  /** Ends it at once (SIGKILL). */
  kill(): void;
  /** Sends `shutdown`, waits up to `graceMs` and then kills it. Resolves when it is gone. */
  stop(shutdown: Out, graceMs: number): Promise<void>;
}

export interface ManagedChildOptions<In> {
  readonly entry: EntryName;
  /** Facts that every log line of this child carries. */
  readonly facts: object;
  readonly logger: HostLogger;
  onMessage(message: In): void;
  /** Called once, after the last message. */
  onExit(exit: ChildExit): void;
}

/** Lines of stderr that are kept for the report of a crash. */
const keptLines = 20;
/** How long messages of a dead child are waited for. */
const lastMessagesMs = 1_000;

/** Starts a compiled entry as a child. */
export function startChild<In, Out extends object>(options: ManagedChildOptions<In>): ManagedChild<Out> {
  const { entry, facts, logger } = options;
  const child = fork(resolveEntry(entry), [String(process.pid)], {
    serialization: "advanced",
    execArgv: [],
    // Read by the library: an abort otherwise starts a debugger and waits for it.
    env: { ...readProcessInputs().env, GGML_NO_BACKTRACE: "1" },
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  const lastLines = logLines(child, facts, logger);
  let ended: { code: number | null; signal: NodeJS.Signals | null; reason: string } | null = null;
  let channelOpen = true;
  let reported = false;
  let onGone = (): void => {};
  const gone = new Promise<void>((resolve) => {
    onGone = resolve;
  });
  const report = (): void => {
    if (reported || ended === null) return;
    reported = true;
    onGone();
    options.onExit({ ...ended, lastLines });
  };
  child.on("message", (message) => {
    if (!reported) options.onMessage(message as In);
  });
  // The pipe may hold messages that are newer than the news of the death: what the child said last counts.
  child.on("disconnect", () => {
    channelOpen = false;
    if (ended === null) child.kill("SIGKILL");
    report();
  });
  child.on("exit", (code, signal) => {
    ended ??= {
      code,
      signal,
      reason: signal === null ? `ended with status ${code}` : `was ended by ${signal}`,
    };
    if (channelOpen) setTimeout(report, lastMessagesMs).unref();
    else report();
  });
  child.on("error", (error) => {
    if (child.pid !== undefined) return;
    ended ??= { code: null, signal: null, reason: `could not be started: ${error.message}` };
    report();
  });
  return {
    pid: child.pid,
    send(message) {
      if (child.connected) child.send(message, () => {});
    },
    kill() {
      child.kill("SIGKILL");
    },
    async stop(shutdown, graceMs) {
      this.send(shutdown);
      const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
      await gone;
      clearTimeout(timer);
    },
  };
}

/** Writes the child's stderr to the log. Returns the last lines, kept up to date. */
function logLines(child: ChildProcess, facts: object, logger: HostLogger): string[] {
  const lines: string[] = [];
  if (child.stderr === null) return lines;
  createInterface({ input: child.stderr }).on("line", (line) => {
    lines.push(line);
    if (lines.length > keptLines) lines.shift();
    logger.debug({ ...facts, pid: child.pid }, line);
  });
  return lines;
}
