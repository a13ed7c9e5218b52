/** Starts, watches and stops a server as a child process. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { childEnvironment } from "./child-environment.ts";

export interface ChildServer {
  /** Without a path. */
  readonly url: string;
  /** Processor time that the server and its children have used, in seconds; NaN on systems without /proc. */
  cpuSeconds(): number;
  stop(): Promise<void>;
}

const readyTimeoutMs = 120_000;
const stopTimeoutMs = 10_000;
const clockTicksPerSecond = 100;

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", resolve);
  });
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no free port was given");
  return address.port;
}

/** Fields of /proc/PID/stat after the command's name, which may itself hold spaces. */
function readStat(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
  } catch {
    return [];
  }
}

function treeCpuSeconds(rootPid: number): number {
  if (process.platform !== "linux") return Number.NaN;
  const stats = new Map<number, string[]>();
  for (const entry of readdirSync("/proc"))
    if (/^\d+$/.test(entry)) stats.set(Number(entry), readStat(entry));
  const isInTree = (pid: number): boolean => {
    for (let each = pid; each > 1; each = Number(stats.get(each)?.[1] ?? 0))
      if (each === rootPid) return true;
    return false;
  };
  let ticks = 0;
  for (const [pid, fields] of stats) if (isInTree(pid)) ticks += Number(fields[11]) + Number(fields[12]);
  return ticks / clockTicksPerSecond;
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/health`)).ok;
  } catch {
    return false;
  }
}

/**
 * Runs a server's command on a free port and waits until GET /health answers 200. It is killed with this process.
 * Rejects with the end of its messages when it ends before, or is not ready within two minutes.
 */
export async function startChildServer(
  command: string,
  args: (port: number) => readonly string[],
): Promise<ChildServer> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const child = spawn(command, args(port), {
    env: childEnvironment(),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let messages = "";
  const keepEnd = (text: string): void => {
    messages = (messages + text).slice(-4000);
  };
  child.stdout.setEncoding("utf8").on("data", keepEnd);
  child.stderr.setEncoding("utf8").on("data", keepEnd);
  const killAtExit = (): boolean => child.kill("SIGKILL");
  process.once("exit", killAtExit);
  let ended = false;
  const exited = new Promise<void>((resolve) => {
    const end = (): void => {
      ended = true;
      process.removeListener("exit", killAtExit);
      resolve();
    };
    child.once("error", (error) => {
      keepEnd(error.message);
      end();
    });
    child.once("close", end);
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), stopTimeoutMs);
    await exited;
    clearTimeout(timer);
  };
  const deadline = Date.now() + readyTimeoutMs;
  while (!(await isHealthy(url))) {
    if (ended || Date.now() > deadline) {
      await stop();
      throw new Error(`${command} did not become ready:\n${messages}`);
    }
    await sleep(50);
  }
  return { url, cpuSeconds: () => treeCpuSeconds(child.pid ?? -1), stop };
}
