/** Starts the built command as its users do, for tests over a real socket. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { commandLine, descendants, isRunning } from "./processes.ts";

const entry = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** The model that tests run on: INKSTONE_TEST_MODEL (a path to a GGUF) or the embedded default. */
export const testModel: string = process.env["INKSTONE_TEST_MODEL"] ?? "smollm2-135m";

/** The name under which servers of this harness offer the model. */
export const servedModel = "test-model";

export interface CommandResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Written to standard input, which is then closed. */
  readonly input?: string;
  readonly timeoutMs?: number;
}

export interface ServerOptions {
  /** Further arguments of `serve`. */
  readonly args?: readonly string[];
  /** Added to this process's own environment. */
  readonly env?: NodeJS.ProcessEnv;
  /** Default: `testModel`; null: none named. */
  readonly model?: string | null;
  /** Default: a free one. */
  readonly port?: number;
  /** How long the server may take until it is ready. */
  readonly readyTimeoutMs?: number;
}

export interface RunningServer {
  /** Such as http://127.0.0.1:40123, without a path. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  stdout(): string;
  stderr(): string;
  /** The engine processes, one for each model; empty on systems without /proc. */
  enginePids(): number[];
  /** All descendants: engines and the tokeniser. */
  childPids(): number[];
  /** Resolves with the exit code, null after a signal. */
  readonly exited: Promise<number | null>;
  /** SIGTERM, and SIGKILL for what is left after `timeoutMs`. Resolves with the exit code. */
  stop(timeoutMs?: number): Promise<number | null>;
}

/** The environment of a child: this process's own, without settings of the user that runs the tests. */
function childEnvironment(env: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const kept = ["INKSTONE_CACHE_DIR", "INKSTONE_OFFLINE"];
  const own = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("INKSTONE_") || kept.includes(name),
  );
  return { ...Object.fromEntries(own), ...env };
}

function requireBuild(): void {
  if (!existsSync(entry)) throw new Error(`${entry} is missing: run \`npm run build\` first`);
}

/** Runs `inkstone ARGS` to its end. Rejects when it takes longer than `timeoutMs` (default 60 s). */
export async function runCommand(
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  requireBuild();
  const timeoutMs = options.timeoutMs ?? 60_000;
  const child = spawn(process.execPath, [entry, ...args], {
    env: childEnvironment(options.env),
    cwd: options.cwd,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const output = collectOutput(child);
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.input ?? "");
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  const exitCode = await exitOf(child);
  clearTimeout(timer);
  if (timedOut) {
    throw new Error(`inkstone ${args.join(" ")} ran longer than ${timeoutMs} ms\n${output.stderr()}`);
  }
  return { exitCode, stdout: output.stdout(), stderr: output.stderr() };
}

let modelIsHere: Promise<void> | undefined;

/** Fetches the default model unless it is here, once for each process of tests. */
export function ensureModel(): Promise<void> {
  modelIsHere ??= (async () => {
    if (testModel.endsWith(".gguf")) {
      if (!existsSync(testModel))
        throw new Error(`INKSTONE_TEST_MODEL names ${testModel}, which is not there`);
      return;
    }
    const { exitCode, stderr } = await runCommand(["pull", testModel], { timeoutMs: 900_000 });
    if (exitCode !== 0) throw new Error(`inkstone pull ${testModel} ended with ${exitCode}:\n${stderr}`);
  })();
  return modelIsHere;
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", resolve);
  });
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port was given");
  return address.port;
}

/** Starts `inkstone serve` and waits until it is ready. Rejects with the server's own messages when it ends before. */
export async function startServer(options: ServerOptions = {}): Promise<RunningServer> {
  requireBuild();
  const model = options.model === undefined ? testModel : options.model;
  if (model === testModel) await ensureModel();
  const port = options.port ?? (await freePort());
  const args = ["serve", ...(model === null ? [] : [model]), "--port", String(port)];
  if (model !== null) args.push("--served-model-name", servedModel);
  const child = spawn(process.execPath, [entry, ...args, ...(options.args ?? [])], {
    env: childEnvironment(options.env),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error("the server could not be started");
  const output = collectOutput(child);
  const exited = exitOf(child);
  const killAtExit = (): void => killTree(pid);
  process.once("exit", killAtExit);
  const server: RunningServer = {
    url: `http://127.0.0.1:${port}`,
    port,
    pid,
    ...output,
    childPids: () => descendants(pid),
    enginePids: () => descendants(pid).filter((each) => commandLine(each).includes("engine-process")),
    exited,
    stop: async (timeoutMs = 20_000) => {
      const children = descendants(pid);
      child.kill("SIGTERM");
      const timer = setTimeout(() => killTree(pid), timeoutMs);
      const exitCode = await exited;
      clearTimeout(timer);
      for (const each of children) if (isRunning(each)) killQuietly(each);
      process.removeListener("exit", killAtExit);
      return exitCode;
    },
  };
  try {
    await untilReady(server, options.readyTimeoutMs ?? 60_000);
  } catch (error) {
    await server.stop(0);
    throw error;
  }
  return server;
}

async function untilReady(server: RunningServer, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  let ended = false;
  void server.exited.then(() => (ended = true));
  for (;;) {
    if (await isReady(server.url)) return;
    const why = ended ? "ended" : Date.now() > deadline ? `was not ready after ${timeoutMs} ms` : null;
    if (why !== null) throw new Error(`the server ${why}:\n${server.stdout()}${server.stderr()}`);
    await sleep(50);
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/health/ready`)).ok;
  } catch {
    return false;
  }
}

function collectOutput(child: ChildProcess): { stdout(): string; stderr(): string } {
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  return { stdout: () => stdout, stderr: () => stderr };
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code));
  });
}

function killTree(pid: number): void {
  for (const each of [...descendants(pid), pid]) killQuietly(each);
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it ended by itself
  }
}
