/** The two scenarios, each over all contenders, which take turns within a repetition and change places between them. */
import { cpus } from "node:os";

import type { ChildServer } from "./child-server.ts";
import { inkstone, llamaServer, runBatchedBench } from "./contenders.ts";
import type { Contender, Setting } from "./contenders.ts";
import { decodeRuns, decodeWorkload, measureDecode } from "./decode.ts";
import { createRandom, randomTokens } from "./prompts.ts";
import { measureSharedPrefix } from "./shared-prefix.ts";
import type { SharedPrefixRun } from "./shared-prefix.ts";
import { median } from "./statistics.ts";
import { streamCompletion } from "./stream-client.ts";

/** Shares of the machine's cores, 0 to 1, that a measurement used. */
export interface CpuShares {
  readonly client: number;
  readonly server: number;
  /** All other programs of the machine: what disturbed the measurement. */
  readonly others: number;
}

/** Tokens a second by width, one entry for each repetition. */
export type DecodeRates = Readonly<Record<string, readonly number[]>>;

export interface DecodeResult {
  readonly name: string;
  readonly rates: DecodeRates;
  /** One for each repetition; none for a program that needs no client. */
  readonly cpu: readonly CpuShares[];
}

export interface SharedPrefixResult {
  readonly name: string;
  readonly runs: readonly SharedPrefixRun[];
  readonly cpu: readonly CpuShares[];
}

export interface ScenarioOptions {
  readonly setting: Setting;
  readonly repetitions: number;
  readonly progress: (line: string) => void;
}

export const batchedBenchName = "llama-batched-bench";

interface CpuReading {
  readonly wallS: number;
  readonly clientS: number;
  readonly serverS: number;
  /** All processors' time that was not idle. */
  readonly busyS: number;
}

function readCpu(server: ChildServer): CpuReading {
  const client = process.cpuUsage();
  const busyMs = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
  return {
    wallS: performance.now() / 1000,
    clientS: (client.user + client.system) / 1e6,
    serverS: server.cpuSeconds(),
    busyS: busyMs / 1000,
  };
}

function cpuShares(before: CpuReading, after: CpuReading): CpuShares {
  const share = (read: (reading: CpuReading) => number): number =>
    (read(after) - read(before)) / (after.wallS - before.wallS) / cpus().length;
  const client = share(({ clientS }) => clientS);
  const server = share(({ serverS }) => serverS);
  return { client, server, others: Math.max(0, share(({ busyS }) => busyS) - client - server) };
}

/** Starts a contender, warms it up (long enough for a JIT to have compiled what runs), measures, and stops it in any case. */
async function measured<T>(
  contender: Contender,
  measure: (server: ChildServer) => Promise<T>,
): Promise<{ value: T; cpu: CpuShares }> {
  const server = await contender.start();
  try {
    const warmUp = randomTokens(createRandom(0), 64);
    await streamCompletion({ url: server.url, prompt: warmUp, maxTokens: 256 });
    const before = readCpu(server);
    const value = await measure(server);
    const cpu = cpuShares(before, readCpu(server));
    return { value, cpu };
  } finally {
    await server.stop();
  }
}

function rotated<T>(items: readonly T[], by: number): T[] {
  const start = by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}

/** Decode rates of a running server: for each width the median of its runs. */
async function decodeRates(url: string, repetition: number): Promise<Map<number, number>> {
  const rates = new Map<number, number[]>();
  for (const [index, streams] of decodeRuns.entries()) {
    const rate = await measureDecode(url, streams, 1000 * (repetition + 1) + index);
    rates.set(streams, [...(rates.get(streams) ?? []), rate]);
  }
  return new Map([...rates].map(([streams, each]) => [streams, median(each)]));
}

/** Decode of 1, 4, 8 and 16 unrelated streams. */
export async function runDecode(options: ScenarioOptions): Promise<DecodeResult[]> {
  const { setting, progress } = options;
  const servers = [inkstone(setting), llamaServer(setting, 16)];
  const results = [...servers.map(({ name }) => name), batchedBenchName].map((name) => ({
    name,
    rates: Object.fromEntries(decodeWorkload.streams.map((streams) => [String(streams), [] as number[]])),
    cpu: [] as CpuShares[],
  }));
  for (let repetition = 0; repetition < options.repetitions; repetition++) {
    for (const result of rotated(results, repetition)) {
      const server = servers.find(({ name }) => name === result.name);
      let rates: Map<number, number>;
      if (server === undefined) rates = await runBatchedBench(setting);
      else {
        const { value, cpu } = await measured(server, ({ url }) => decodeRates(url, repetition));
        rates = value;
        result.cpu.push(cpu);
      }
      for (const [streams, rate] of rates) result.rates[String(streams)]?.push(rate);
      const figures = [...rates].map(([streams, rate]) => `${streams}: ${rate.toFixed(1)}`).join("  ");
      progress(
        `decode ${repetition + 1}/${options.repetitions}  ${result.name.padEnd(20)} ${figures} tokens/s`,
      );
    }
  }
  return results;
}

/** 16 clients at once with one cold long prefix. */
export async function runSharedPrefix(options: ScenarioOptions): Promise<SharedPrefixResult[]> {
  const { setting, progress } = options;
  const results = [inkstone(setting), llamaServer(setting, 16), llamaServer(setting, 1)].map((contender) => ({
    name: contender.name,
    contender,
    runs: [] as SharedPrefixRun[],
    cpu: [] as CpuShares[],
  }));
  for (let repetition = 0; repetition < options.repetitions; repetition++) {
    for (const { name, contender, runs, cpu } of rotated(results, repetition)) {
      const run = await measured(contender, ({ url }) => measureSharedPrefix(url, 500_000 + repetition));
      runs.push(run.value);
      cpu.push(run.cpu);
      const { wholeMs, ttftP50Ms, ttftWorstMs } = run.value;
      const [whole, p50, worst] = [wholeMs, ttftP50Ms, ttftWorstMs].map((ms) => (ms / 1000).toFixed(1));
      progress(
        `prefix ${repetition + 1}/${options.repetitions}  ${name.padEnd(20)} whole ${whole} s  TTFT p50 ${p50} s  worst ${worst} s`,
      );
    }
  }
  return results.map(({ name, runs, cpu }) => ({ name, runs, cpu }));
}
