/** Results as text: tables for the terminal and the page docs/benchmarks.md. */
import type { Environment } from "./environment.ts";
import { batchedBenchName } from "./scenarios.ts";
import type { CpuShares, DecodeResult, SharedPrefixResult } from "./scenarios.ts";
import type { SharedPrefixRun } from "./shared-prefix.ts";
import { median, pairedRatios, summarise } from "./statistics.ts";
import type { Summary } from "./statistics.ts";

export interface BenchmarkResult {
  readonly environment: Environment;
  readonly repetitions: number;
  /** What was run, PORT standing for the port. */
  readonly commands: readonly string[];
  /** null: the scenario was left out. */
  readonly decode: readonly DecodeResult[] | null;
  readonly sharedPrefix: readonly SharedPrefixResult[] | null;
}

/** A bound that the engine is held to. */
interface Target {
  readonly what: string;
  readonly ratio: Summary;
  readonly bound: number;
  readonly kind: "at least" | "at most";
}

const ours = "inkstone";

function withSpread({ median: middle, min, max }: Summary, digits: number): string {
  return `${middle.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, header.map((_, index) => (index === 0 ? "---" : "---:")), ...rows];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function cpuCells(cpu: readonly CpuShares[]): string[] {
  if (cpu.length === 0) return ["–", "–", "–"];
  const percent = (values: number[]): string => `${(100 * median(values)).toFixed(1)}%`;
  return [
    percent(cpu.map(({ server }) => server)),
    percent(cpu.map(({ client }) => client)),
    percent(cpu.map(({ others }) => others)),
  ];
}

function decodeTable(results: readonly DecodeResult[]): string {
  const widths = Object.keys(results[0]?.rates ?? {});
  return table(
    [
      "tokens/s",
      ...widths.map((width) => `${width} stream${width === "1" ? "" : "s"}`),
      "server CPU",
      "client CPU",
      "other CPU",
    ],
    results.map(({ name, rates, cpu }) => [
      name,
      ...widths.map((width) => withSpread(summarise(rates[width] ?? []), 1)),
      ...cpuCells(cpu),
    ]),
  );
}

function sharedPrefixTable(results: readonly SharedPrefixResult[]): string {
  const seconds = (runs: readonly SharedPrefixRun[], read: (run: SharedPrefixRun) => number): string =>
    withSpread(summarise(runs.map((run) => read(run) / 1000)), 1);
  return table(
    ["seconds", "whole run", "TTFT p50", "TTFT worst", "server CPU", "client CPU", "other CPU"],
    results.map(({ name, runs, cpu }) => [
      name,
      seconds(runs, ({ wholeMs }) => wholeMs),
      seconds(runs, ({ ttftP50Ms }) => ttftP50Ms),
      seconds(runs, ({ ttftWorstMs }) => ttftWorstMs),
      ...cpuCells(cpu),
    ]),
  );
}

function decodeTargets(results: readonly DecodeResult[]): Target[] {
  const own = results.find(({ name }) => name === ours);
  const targets: Target[] = [];
  for (const reference of results) {
    if (own === undefined || reference === own) continue;
    for (const [width, rates] of Object.entries(own.rates)) {
      const isBound = reference.name === batchedBenchName && (width === "1" || width === "16");
      targets.push({
        what: `decode, ${width} stream${width === "1" ? "" : "s"}, to ${reference.name}`,
        ratio: pairedRatios(rates, reference.rates[width] ?? []),
        bound: isBound ? (width === "1" ? 0.93 : 0.88) : Number.NaN,
        kind: "at least",
      });
    }
  }
  return targets;
}

const prefixBounds: Readonly<Record<string, { readonly whole: number; readonly ttft: number }>> = {
  "llama-server -np 16": { whole: 0.3, ttft: 0.2 },
  "llama-server -np 1": { whole: 0.65, ttft: 0.4 },
};

function sharedPrefixTargets(results: readonly SharedPrefixResult[]): Target[] {
  const own = results.find(({ name }) => name === ours);
  return results.flatMap(({ name, runs }) => {
    if (own === undefined || name === ours) return [];
    const ratio = (read: (run: SharedPrefixRun) => number): Summary =>
      pairedRatios(own.runs.map(read), runs.map(read));
    const bounds = prefixBounds[name];
    return [
      {
        what: `shared prefix, whole run, to ${name}`,
        ratio: ratio(({ wholeMs }) => wholeMs),
        bound: bounds?.whole ?? Number.NaN,
        kind: "at most" as const,
      },
      {
        what: `shared prefix, TTFT p50, to ${name}`,
        ratio: ratio(({ ttftP50Ms }) => ttftP50Ms),
        bound: bounds?.ttft ?? Number.NaN,
        kind: "at most" as const,
      },
    ];
  });
}

function isMet({ ratio, bound, kind }: Target): boolean {
  return kind === "at least" ? ratio.median >= bound : ratio.median <= bound;
}

function ratioTable(targets: readonly Target[]): string {
  return table(
    ["ratio of inkstone", "median (min–max)", "target", ""],
    targets.map((target) => [
      target.what,
      withSpread(target.ratio, 2),
      ...(Number.isNaN(target.bound)
        ? ["–", ""]
        : [`${target.kind} ${target.bound}`, isMet(target) ? "met" : "missed"]),
    ]),
  );
}

function targetsOf({ decode, sharedPrefix }: BenchmarkResult): Target[] {
  return [...decodeTargets(decode ?? []), ...sharedPrefixTargets(sharedPrefix ?? [])];
}

/** Names of the targets whose median ratio is not within its bound. */
export function missedTargets(result: BenchmarkResult): string[] {
  return targetsOf(result)
    .filter((target) => !Number.isNaN(target.bound) && !isMet(target))
    .map(({ what }) => what);
}

/** The tables alone, as markdown. */
export function formatTables(result: BenchmarkResult): string {
  const parts: string[] = [];
  if (result.decode !== null) parts.push("### Decode of unrelated streams", decodeTable(result.decode));
  if (result.sharedPrefix !== null) {
    parts.push("### 16 clients, one cold prefix of 1,500 tokens", sharedPrefixTable(result.sharedPrefix));
  }
  parts.push("### Ratios", ratioTable(targetsOf(result)));
  return parts.join("\n\n");
}

/** The whole page docs/benchmarks.md. */
export function formatPage(result: BenchmarkResult): string {
  const { environment: env } = result;
  return `# Benchmarks

Inkstone against llama.cpp's own programs, side by side in one run: the same machine, model file, threads and CPU kernels.
Trust the ratios more than the absolute figures. This page is written by the benchmark itself.

\`\`\`sh
benchmarks/peers/build.sh          # once, about ten minutes: llama-server and llama-batched-bench
npm run bench:engine               # --quick for one repetition; --write to write this page
\`\`\`

## What is measured

- **Decode**: 1, 4, 8 and 16 requests at once over HTTP, each with a prompt of 32 random tokens of its own and 128 tokens of
  greedy output. Counted are the tokens a second of all streams together in the window in which all of them decode, from the
  latest first token to the earliest last one. llama-batched-bench runs the same shape without sampling, text or HTTP: what the
  library can do at best.
- **Shared prefix**: 16 requests at once whose prompts begin with the same 1,500 random tokens, which no server has seen, and
  end with 16 of their own; 64 tokens of output each. TTFT is the time until the first event with text.
- In each repetition the programs take turns, each started afresh and warmed up; their order changes between repetitions. A ratio is
  formed within a repetition. Shown are medians with the smallest and largest value of ${result.repetitions} repetition${result.repetitions === 1 ? "" : "s"}.
- The client shares the cores with the server: shown are the shares of all cores that the server, the client and all other
  programs of the machine used.

## Results

${formatTables(result)}

## Machine and versions

${table(
  ["", ""],
  [
    ["date", env.date.slice(0, 10)],
    ["processor", `${env.processor}, ${env.cores} cores, ${Math.round(env.memoryBytes / 2 ** 30)} GiB`],
    ["system", `${env.kernel}, Node ${env.node}`],
    ["load average before", env.loadBefore.toFixed(2)],
    ["Inkstone", `${env.inkstone} (${env.commit})`],
    ["library", env.platformPackage],
    ["llama-server", env.llamaServer],
    ["model", `${env.model}, ${env.modelBytes} bytes, sha256 ${env.modelSha256}`],
    ["threads", String(env.threads)],
  ],
)}

\`\`\`
${result.commands.join("\n")}
\`\`\`
`;
}
