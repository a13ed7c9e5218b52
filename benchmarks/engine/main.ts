/** `npm run bench:engine`: the engine beside llama.cpp's own programs, in one run. */
import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { batchedBenchArgs, inkstone, llamaServer } from "./contenders.ts";
import type { Setting } from "./contenders.ts";
import { describeEnvironment } from "./environment.ts";
import { findModel } from "./model-file.ts";
import { findPeers } from "./peers.ts";
import { formatPage, formatTables, missedTargets } from "./report.ts";
import type { BenchmarkResult } from "./report.ts";
import { batchedBenchName, runDecode, runSharedPrefix } from "./scenarios.ts";
import type { ScenarioOptions } from "./scenarios.ts";

const usage = `Usage: npm run bench:engine -- [options]

  --only decode|prefix   leave the other scenario out
  --repetitions N        default 3
  --quick                one repetition
  --model FILE.gguf      default: INKSTONE_TEST_MODEL, or smollm2-135m, fetched if it is not here
  --threads N            default: one for each core
  --inkstone-args "..."  further arguments of \`inkstone serve\`
  --write                write docs/benchmarks.md
  --check                exit with 1 when a target is missed

The peers come from benchmarks/peers/build.sh; INKSTONE_PEERS_DIR names another folder.`;

const root = new URL("../../../", import.meta.url);

/** Wrong use: its message is shown with the usage. */
class UsageError extends Error {}

function readArguments() {
  try {
    return parseArgs({
      options: {
        only: { type: "string" },
        repetitions: { type: "string" },
        quick: { type: "boolean", default: false },
        model: { type: "string" },
        threads: { type: "string" },
        "inkstone-args": { type: "string", default: "" },
        write: { type: "boolean", default: false },
        check: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function positive(text: string | undefined, fallback: number, name: string): number {
  const value = text === undefined ? fallback : Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new UsageError(`--${name} ${text}: a whole number above 0 is needed`);
}

const progress = (line: string): void => void process.stderr.write(`${line}\n`);

/** Measures, prints and writes; gives the exit code. */
async function main(): Promise<number> {
  const values = readArguments();
  if (values.help) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  const { only } = values;
  if (only !== undefined && only !== "decode" && only !== "prefix") {
    throw new UsageError(`--only ${only}: decode or prefix is needed`);
  }
  const repetitions = positive(values.repetitions, values.quick ? 1 : 3, "repetitions");
  const setting: Setting = {
    peersBin: findPeers(),
    model: await findModel(values.model),
    threads: positive(values.threads, availableParallelism(), "threads"),
    inkstoneArgs: values["inkstone-args"].split(" ").filter((each) => each !== ""),
  };
  const environment = describeEnvironment(setting);
  if (environment.loadBefore > 0.5) {
    progress(`load average ${environment.loadBefore.toFixed(2)}: other programs will disturb the figures`);
  }
  const options: ScenarioOptions = { setting, repetitions, progress };
  const result: BenchmarkResult = {
    environment,
    repetitions,
    commands: [
      ...[inkstone(setting), llamaServer(setting, 16), llamaServer(setting, 1)].map(({ command }) => command),
      [batchedBenchName, ...batchedBenchArgs(setting)].join(" "),
    ].map((command) => command.replaceAll(setting.model, environment.model)),
    decode: only === "prefix" ? null : await runDecode(options),
    sharedPrefix: only === "decode" ? null : await runSharedPrefix(options),
  };

  const results = new URL("benchmarks/results/", root);
  await mkdir(results, { recursive: true });
  const stamp = environment.date.replaceAll(/[-:]|\.\d+/g, "");
  const file = new URL(`engine-${stamp}.local.json`, results);
  await writeFile(file, `${JSON.stringify(result, null, 2)}\n`);
  process.stdout.write(`${formatTables(result)}\n\n${fileURLToPath(file)}\n`);
  if (values.write) await writeFile(new URL("docs/benchmarks.md", root), formatPage(result));
  const missed = missedTargets(result);
  for (const what of missed) progress(`target missed: ${what}`);
  return values.check && missed.length > 0 ? 1 : 0;
}

// the servers are killed when this process exits
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
try {
  process.exitCode = await main();
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(error instanceof UsageError ? `${message}\n\n${usage}\n` : `${message}\n`);
  process.exitCode = 2;
}
