/** The servers that are measured, each with the flags that suit it best for the workloads here. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { startChildServer } from "./child-server.ts";
import type { ChildServer } from "./child-server.ts";
import { decodeRuns, decodeWorkload } from "./decode.ts";
import { median } from "./statistics.ts";

const run = promisify(execFile);

export interface Setting {
  /** Path to the GGUF. */
  readonly model: string;
  /** Folder of llama-server and llama-batched-bench. */
  readonly peersBin: string;
  /** For decoding and for prompts alike. */
  readonly threads: number;
  /** Further arguments of `inkstone serve`. */
  readonly inkstoneArgs: readonly string[];
}

/** A server that can be started afresh. */
export interface Contender {
  readonly name: string;
  /** What was run, for the record; PORT stands for the port. */
  readonly command: string;
  start(): Promise<ChildServer>;
}

const maxSequences = 16;
const contextWindow = 2048;
const inkstoneEntry = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));

function contender(
  name: string,
  program: string,
  prefix: readonly string[],
  args: readonly string[],
): Contender {
  const withPort = (port: string): string[] => [...prefix, ...args, "--port", port];
  return {
    name,
    command: [name.split(" ")[0], ...args, "--port", "PORT"].join(" "),
    start: () => startChildServer(program, (port) => withPort(String(port))),
  };
}

export function inkstone({ model, threads, inkstoneArgs }: Setting): Contender {
  return contender(
    "inkstone",
    process.execPath,
    [inkstoneEntry],
    [
      ...["serve", model, "--threads", String(threads), "--max-num-seqs", String(maxSequences)],
      ...["--context-window", String(contextWindow), ...inkstoneArgs],
    ],
  );
}

/** llama-server with `slots` slots of the whole context window each. */
export function llamaServer({ model, peersBin, threads }: Setting, slots: number): Contender {
  return contender(
    `llama-server -np ${slots}`,
    `${peersBin}/llama-server`,
    [],
    [
      ...["-m", model, "-t", String(threads), "-np", String(slots)],
      ...["-c", String(contextWindow * slots), "--no-webui"],
    ],
  );
}

/** The arguments of llama-batched-bench for the decode workload. */
export function batchedBenchArgs({ model, threads }: Setting): string[] {
  const { promptTokens, outputTokens } = decodeWorkload;
  const cells = maxSequences * (promptTokens + outputTokens);
  return [
    ...["-m", model, "-t", String(threads), "-c", String(Math.ceil(cells / 4096) * 4096), "-b", "2048"],
    ...["-npp", String(promptTokens), "-ntg", String(outputTokens), "-npl", decodeRuns.join(",")],
    ...["--output-format", "jsonl"],
  ];
}

/** Runs llama-batched-bench once: median decode tokens a second by width. */
export async function runBatchedBench(setting: Setting): Promise<Map<number, number>> {
  const running = run(`${setting.peersBin}/llama-batched-bench`, batchedBenchArgs(setting), {
    maxBuffer: 64 * 1024 * 1024,
  });
  const killAtExit = (): boolean => running.child.kill("SIGKILL");
  process.once("exit", killAtExit);
  const { stdout } = await running.finally(() => process.removeListener("exit", killAtExit));
  const values = new Map<number, number[]>();
  for (const line of stdout.split("\n")) {
    if (!line.startsWith("{")) continue;
    const row = JSON.parse(line) as { pl: number; speed_tg: number };
    values.set(row.pl, [...(values.get(row.pl) ?? []), row.speed_tg]);
  }
  for (const streams of decodeWorkload.streams) {
    if (!values.has(streams)) throw new Error(`llama-batched-bench gave no figure for ${streams} streams`);
  }
  return new Map([...values].map(([streams, each]) => [streams, median(each)]));
}
