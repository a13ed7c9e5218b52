import { describe, expect, test } from "vitest";
import { runCommand } from "./run-command.ts";

const node = (script: string): readonly [string, readonly string[]] => [process.execPath, ["-e", script]];

describe("runCommand", () => {
  test("gives the output and the status", async () => {
    const lines: string[] = [];
    const result = await runCommand(
      ...node("console.log('a\\nb'); process.stderr.write('c'); process.exitCode = 3"),
      { onLine: (line) => lines.push(line) },
    );
    expect(result).toEqual({ status: 3, stdout: "a\nb\n", stderr: "c", failure: null });
    expect(lines.toSorted()).toEqual(["a", "b", "c"]);
  });

  test("a program that does not exist is a result", async () => {
    const result = await runCommand("inkstone-no-such-program", []);
    expect(result).toMatchObject({ status: null, failure: "not-found" });
  });

  test("a program that takes too long is ended", async () => {
    const result = await runCommand(...node("setInterval(() => {}, 1000)"), { timeoutMs: 300 });
    expect(result).toMatchObject({ status: null, failure: "timeout" });
  });

  test("cancelling ends the programs that it started, too", async () => {
    const abort = new AbortController();
    const script = `const { spawn } = require("node:child_process");
      const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
      console.log(child.pid); setInterval(() => {}, 1000);`;
    const pids: number[] = [];
    const result = await runCommand(...node(script), {
      signal: abort.signal,
      onLine: (line) => {
        pids.push(Number(line));
        abort.abort();
      },
    });
    expect(result.failure).toBe("aborted");
    await expect.poll(() => isRunning(pids[0] ?? 0), { timeout: 5000 }).toBe(false);
  });

  test("nothing is started when it was cancelled before", async () => {
    const result = await runCommand(...node("console.log('ran')"), { signal: AbortSignal.abort() });
    expect(result).toMatchObject({ failure: "aborted", stdout: "" });
  });
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
