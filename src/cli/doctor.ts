import { accessSync, constants, existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";

import { readPipSettings } from "../config/pip.ts";
import type { Config } from "../config/schema.ts";
import { InkstoneError, toInkstoneError } from "../errors.ts";
import { freeBytes } from "../models/disk.ts";
import { buildBackends, parseBuildBackends } from "../native/build-options.ts";
import { buildNative, defaultJobs } from "../native/build.ts";
import { probeHardware } from "../native/hardware.ts";
import type { Hardware } from "../native/hardware.ts";
import { installNative } from "../native/install.ts";
import { measureBandwidth } from "../native/memory-bandwidth.ts";
import { nativeVariants, resolveNativeDirectory } from "../native/packages.ts";
import type { NativeVariant } from "../native/packages.ts";
import { probeNative } from "../native/probe.ts";
import type { CliContext } from "./context.ts";
import { judge, networkSettings } from "./doctor-checks.ts";
import type { Check, MachineFacts } from "./doctor-checks.ts";
import { interruptible } from "./interrupt.ts";
import { openModels } from "./models.ts";
import { packageVersion } from "./package-info.ts";
import { addSettings, loadSettings } from "./settings.ts";

const examples = `
Examples:
  inkstone doctor                              check everything
  inkstone doctor --install-native cuda        fetch the library for NVIDIA GPUs, then check
  inkstone doctor --build-native               build the library, where no prebuilt one runs
  inkstone doctor --build-native --backend cann
`;

interface DoctorOptions {
  readonly json?: boolean;
  readonly installNative?: NativeVariant;
  readonly buildNative?: boolean;
  readonly backend?: readonly string[];
  readonly allCpus?: boolean;
  readonly jobs?: number;
}

/** `inkstone doctor`: what this machine has, whether the library loads on it, and what to mend. */
export function createDoctorCommand(context: CliContext): Command {
  const command = new Command("doctor")
    .description("Check this machine, and say what to mend")
    .option("--json", "Print JSON.")
    .addOption(
      new Option("--install-native [VARIANT]", "Fetch a prebuilt library through npm first.")
        .choices(nativeVariants)
        .preset("cpu"),
    )
    .addOption(
      new Option("--build-native", "Build the library from source first (minutes).").conflicts(
        "installNative",
      ),
    )
    .option(
      "--backend <NAME...>",
      `With --build-native: accelerators to build for (${buildBackends.join(", ")}).`,
    )
    .option("--all-cpus", "With --build-native: kernels for every processor, to copy the result elsewhere.")
    .option("--jobs <N>", "With --build-native: compilers at once.", parseJobs)
    .option("--native-directory <DIR>", "Check the native libraries of this directory.");
  addSettings(command, ["store", "log"]);
  return command.addHelpText("after", examples).action(async (options: DoctorOptions) => {
    if (options.buildNative !== true && (options.backend ?? options.allCpus ?? options.jobs) !== undefined) {
      throw new InkstoneError(
        "unknown_option",
        "--backend, --all-cpus and --jobs are options of --build-native.",
      );
    }
    const { config } = loadSettings(context, command);
    await interruptible(context, async (signal) => {
      await prepareNative(context, config, options, signal);
      const facts = await examine(context, config, signal);
      const checks = judge(facts);
      context.stdout.write(
        options.json === true
          ? `${JSON.stringify({ checks, facts }, null, 2)}\n`
          : renderReport(context, checks),
      );
      const problems = checks.filter(({ status }) => status === "problem");
      if (problems.length > 0) {
        throw new InkstoneError(
          "machine_unfit",
          `${problems.length} of ${checks.length} checks failed: ${problems.map(({ title }) => title).join(", ")}.`,
        );
      }
    });
  });
}

function parseJobs(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError("It must be a whole number, at least 1.");
  return value;
}

/** Fetches or builds the library when that was asked for. */
async function prepareNative(
  context: CliContext,
  config: Config,
  options: DoctorOptions,
  signal: AbortSignal,
): Promise<void> {
  const wanted = options.buildNative === true || options.installNative !== undefined;
  if (!wanted) return;
  if (config.offline)
    throw new InkstoneError("offline", "The native library has to be fetched, and offline is set.");
  const progress = createProgressLine(context);
  const common = { cacheDir: config.cacheDir, signal, onProgress: progress.show };
  try {
    const { directory } =
      options.installNative === undefined
        ? await buildNative({
            ...common,
            jobs: options.jobs ?? defaultJobs(),
            backends: parseBuildBackends(options.backend ?? []),
            allCpus: options.allCpus ?? false,
          })
        : await installNative({ ...common, variant: options.installNative });
    progress.show(`The library is in ${directory}`);
  } finally {
    progress.end();
  }
}

/** Says one message after another: in one place on a terminal for those that count up, else line by line. */
function createProgressLine({ stderr }: CliContext): { show: (message: string) => void; end: () => void } {
  let isOpen = false;
  const counts = (message: string): boolean => /\d+%$/.test(message);
  return {
    show: (message) => {
      if (!stderr.isTerminal) {
        if (!counts(message) || message.endsWith("0%")) stderr.write(`${message}\n`);
        return;
      }
      stderr.write(`${isOpen ? "\r\u001B[K" : ""}${message}${counts(message) ? "" : "\n"}`);
      isOpen = counts(message);
    },
    end: () => {
      if (isOpen) stderr.write("\n");
      isOpen = false;
    },
  };
}

async function examine(context: CliContext, config: Config, signal: AbortSignal): Promise<MachineFacts> {
  const hardware = await probeHardware();
  // one after another: the measurement must not share the processors
  const bandwidth = await measureBandwidth({
    threads: Math.min(hardware.cpu.logicalCores, 32),
    lastLevelCacheBytes: hardware.lastLevelCacheBytes,
    usableMemoryBytes: hardware.usableMemoryBytes,
  }).catch(() => null);
  return {
    hardware,
    bandwidth,
    native: await examineNative(context, config, hardware, signal),
    cache: {
      directory: config.cacheDir,
      problem: writingProblem(config.cacheDir),
      freeBytes: freeBytes(config.cacheDir),
    },
    models: await listModels(context, config),
    network: {
      offline: config.offline,
      settings: networkSettings(context.inputs.env, readPipSettings(context.inputs)),
    },
  };
}

async function examineNative(
  context: CliContext,
  config: Config,
  hardware: Hardware,
  signal: AbortSignal,
): Promise<MachineFacts["native"]> {
  try {
    const location = resolveNativeDirectory(
      { flag: config.nativeDirectory, cacheDir: config.cacheDir, variant: "auto" },
      hardware.platform,
    );
    const probe = await probeNative({ directory: location.directory, env: context.inputs.env, signal });
    return { location, files: readdirSync(location.directory), probe };
  } catch (thrown) {
    const error = toInkstoneError(thrown);
    return {
      location: null,
      message: error.message,
      hint: error.hint,
      fetchable: error.code === "native_not_found" && config.nativeDirectory === null && !config.offline,
    };
  }
}

/** Why the directory, or the nearest one above it that exists, cannot be written; null when it can. */
function writingProblem(directory: string): string | null {
  let nearest = directory;
  while (!existsSync(nearest) && path.dirname(nearest) !== nearest) nearest = path.dirname(nearest);
  try {
    if (!statSync(nearest).isDirectory()) return `${nearest} is not a directory`;
    accessSync(nearest, constants.W_OK | constants.X_OK);
    return null;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    return code === "EROFS" ? `${nearest} is on a read-only file system` : `${nearest} cannot be written`;
  }
}

async function listModels(context: CliContext, config: Config): Promise<readonly string[] | string> {
  try {
    return (await openModels(context, config)).list().map(({ name }) => name);
  } catch (error) {
    return toInkstoneError(error).message;
  }
}

function renderReport({ stdout }: CliContext, checks: readonly Check[]): string {
  const { palette } = stdout;
  const width = Math.max(...checks.map(({ title }) => title.length));
  const marks = {
    ok: palette.green("ok     "),
    note: palette.yellow("note   "),
    problem: palette.red("problem"),
  };
  const lines = checks.flatMap(({ status, title, found, mend }) => [
    `${marks[status]}  ${title.padEnd(width)}  ${found}`,
    ...(mend === null ? [] : [`${" ".repeat(width + 11)}${palette.cyan("→")} ${mend}`]),
  ]);
  return `Inkstone ${packageVersion()}\n\n${lines.join("\n")}\n`;
}
