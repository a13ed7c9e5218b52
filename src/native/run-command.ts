/** Runs another program: its output as lines, its whole process group ended on cancellation. */
import { spawn } from "node:child_process";
import { StringDecoder } from "node:string_decoder";

export interface RunOptions {
  readonly cwd?: string;
  readonly signal?: AbortSignal;
  /** Ends the program after this time. */
  readonly timeoutMs?: number;
  /** The whole environment of the program; without it, this process's own is inherited. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Gets each line of standard output and standard error as it comes. */
  readonly onLine?: (line: string) => void;
}

export interface RunResult {
  /** Exit status; null when a signal ended it or it could not be started. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Why it did not run to its end; null when it did. */
  readonly failure: "not-found" | "timeout" | "aborted" | "not-started" | null;
}

/** Characters of output that are kept; a build's log is longer than anyone reads in memory. */
const maxKeptChars = 1_000_000;

/** Runs `command` without a shell and waits for it. Never rejects: look at `status` and `failure`. */
export function runCommand(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  return new Promise((resolve) => {
    if (options.signal?.aborted === true) {
      resolve({ status: null, stdout: "", stderr: "", failure: "aborted" });
      return;
    }
    const child = spawn(command, args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: options.env }),
      stdio: ["ignore", "pipe", "pipe"],
      // a group of its own, so that the compilers that a build started end with it
      detached: true,
    });
    const kept = { stdout: "", stderr: "" };
    let failure: RunResult["failure"] = null;
    let forceTimer: NodeJS.Timeout | undefined;

    const end = (reason: "timeout" | "aborted"): void => {
      if (failure !== null) return;
      failure = reason;
      killGroup(child.pid, "SIGTERM");
      forceTimer = setTimeout(() => killGroup(child.pid, "SIGKILL"), 3000);
    };
    const onAbort = (): void => end("aborted");
    options.signal?.addEventListener("abort", onAbort, { once: true });
    const timer =
      options.timeoutMs === undefined ? undefined : setTimeout(() => end("timeout"), options.timeoutMs);

    const finish = (status: number | null): void => {
      clearTimeout(timer);
      clearTimeout(forceTimer);
      options.signal?.removeEventListener("abort", onAbort);
      resolve({ status, stdout: kept.stdout, stderr: kept.stderr, failure });
    };
    for (const name of ["stdout", "stderr"] as const) {
      const decoder = new StringDecoder("utf8");
      let rest = "";
      child[name].on("data", (chunk: Buffer) => {
        const text = decoder.write(chunk);
        if (kept[name].length < maxKeptChars) kept[name] += text;
        if (options.onLine === undefined) return;
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) options.onLine(line);
      });
      child[name].on("end", () => {
        if (rest !== "") options.onLine?.(rest);
      });
    }
    child.on("error", (error: NodeJS.ErrnoException) => {
      failure ??= error.code === "ENOENT" ? "not-found" : "not-started";
      kept.stderr ||= error.message;
      finish(null);
    });
    child.on("close", finish);
  });
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // it ended by itself
  }
}
