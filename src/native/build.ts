/**
 * Builds the native library from the source that the `node-llama-cpp` package carries, for systems that the prebuilt one does not
 * run on, or for accelerators that it does not know. Everything happens aside; the result is renamed into place.
 */
import { createWriteStream, readFileSync } from "node:fs";
import { cp, mkdir, readdir, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { InkstoneError } from "../errors.ts";
import { cmakeArguments, cpuOptions, flagsToProbe } from "./build-options.ts";
import type { BuildBackend } from "./build-options.ts";
import { findBuildTools } from "./build-tools.ts";
import type { BuildTools } from "./build-tools.ts";
import { parseCpuInfo } from "./hardware-cpu.ts";
import { extractTarball, fetchTarball, inStaging, putInPlace } from "./install.ts";
import type { Run } from "./install.ts";
import { builtDirectory, missingLibraryFiles, nativeRelease } from "./packages.ts";
import type { NativeLocation } from "./packages.ts";
import { runCommand } from "./run-command.ts";
import type { RunOptions } from "./run-command.ts";

export interface BuildOptions {
  readonly cacheDir: string;
  /** Compilers at once. */
  readonly jobs: number;
  readonly backends: readonly BuildBackend[];
  /** Build for every known microarchitecture, so that the result can be copied to other machines. */
  readonly allCpus: boolean;
  readonly signal?: AbortSignal;
  /** One line of text for the user; during compilation at every whole percent. */
  readonly onProgress?: (message: string) => void;
  readonly run?: Run;
}

export interface BuildResult extends NativeLocation {
  readonly logPath: string;
}

/**
 * Builds and installs the library, in minutes; an earlier build is replaced only by a finished one.
 * Throws `native_build_failed` (with the log's path), `download_failed`, `checksum_mismatch`, `disk_full`, `cache_not_writable` or `interrupted`.
 */
export async function buildNative(options: BuildOptions): Promise<BuildResult> {
  const run = options.run ?? runCommand;
  const tools = await findBuildTools(readText, run);
  const logPath = path.join(options.cacheDir, "native", `build-${nativeRelease.packageVersion}.log`);
  const target = builtDirectory(options.cacheDir);

  await inStaging(options.cacheDir, async (staging) => {
    const log = createWriteStream(logPath);
    log.on("error", () => {
      // a full disk shows in the build itself; the log must not end the process
    });
    const step = async (command: string, args: readonly string[], extra: RunOptions = {}): Promise<void> => {
      log.write(`$ ${command} ${args.join(" ")}\n`);
      const result = await run(command, args, {
        ...extra,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
        onLine: (line) => {
          log.write(`${line}\n`);
          extra.onLine?.(line);
        },
      });
      if (result.failure === "aborted") throw new InkstoneError("interrupted", "The build was interrupted.");
      if (result.status !== 0) {
        const full = /no space left/i.test(result.stderr + result.stdout);
        throw new InkstoneError(
          full ? "disk_full" : "native_build_failed",
          `${command} ended with ${result.status === null ? (result.failure ?? "a signal") : `status ${result.status}`}: ` +
            `${firstError(`${result.stderr}\n${result.stdout}`)} The log is ${logPath}.`,
        );
      }
    };
    try {
      const libraries = await compile(staging, tools, step, options, run);
      await putInPlace(libraries, target, true);
    } finally {
      await new Promise((resolve) => log.end(resolve));
    }
  });
  return { directory: target, origin: "built", logPath };
}

type Step = (command: string, args: readonly string[], extra?: RunOptions) => Promise<void>;

async function compile(
  staging: string,
  tools: BuildTools,
  step: Step,
  options: BuildOptions,
  run: Run,
): Promise<string> {
  options.onProgress?.(
    `Fetching the source, ${nativeRelease.sourcePackage} ${nativeRelease.packageVersion}, through npm`,
  );
  const tarball = await fetchTarball(
    { name: nativeRelease.sourcePackage, integrity: nativeRelease.sourceIntegrity },
    staging,
    { ...options, run },
  );
  await extractTarball(tarball, staging, ["package/llama/gitRelease.bundle", "package/LICENSE"], run);
  const source = path.join(staging, "source");
  await step("git", [
    "clone",
    "--quiet",
    path.join(staging, "package", "llama", "gitRelease.bundle"),
    source,
  ]);

  options.onProgress?.(
    `Configuring llama.cpp ${nativeRelease.llamaTag} (${tools.compiler} ${tools.compilerVersion})`,
  );
  const build = path.join(staging, "build");
  const cpu = await probeCpuOptions(tools.compiler, options.allCpus, run);
  await step(
    "cmake",
    cmakeArguments({
      source,
      build,
      platform: process.platform,
      ninja: tools.ninja,
      cpu,
      backends: options.backends,
    }),
  );

  const percent = createPercentReader();
  await step("cmake", ["--build", build, "--target", "llama", "--parallel", String(options.jobs)], {
    onLine: (line) => {
      const value = percent(line);
      if (value !== null) options.onProgress?.(`Compiling: ${value}%`);
    },
  });
  const libraries = path.join(staging, "libraries");
  await collect(path.join(build, "bin"), libraries);
  await cp(path.join(source, "LICENSE"), path.join(libraries, "LICENSE"));
  await writeFile(
    path.join(libraries, "inkstone-build.json"),
    `${JSON.stringify(
      {
        release: nativeRelease.llamaTag,
        compiler: `${tools.compiler} ${tools.compilerVersion}`,
        backends: options.backends,
        allCpus: options.allCpus,
        cpu,
      },
      null,
      2,
    )}\n`,
  );
  return libraries;
}

/** Takes the libraries and the links between their names. */
async function collect(bin: string, libraries: string): Promise<void> {
  await mkdir(libraries);
  for (const file of await readdir(bin)) {
    if (/^lib(ggml|llama)([-.].*)?\.(so|dylib)/.test(file)) {
      await cp(path.join(bin, file), path.join(libraries, file), { verbatimSymlinks: true });
    }
  }
  const missing = missingLibraryFiles(libraries);
  if (missing.length > 0) {
    throw new InkstoneError("native_build_failed", `The build made no ${missing.join(", ")}.`);
  }
}

/** The CPU's features as far as the compiler knows them. */
async function probeCpuOptions(compiler: string, allCpus: boolean, run: Run): Promise<string[]> {
  const { features } = parseCpuInfo(readText("/proc/cpuinfo"), { model: "", logicalCores: 1 });
  const known = new Set<string>();
  if (!allCpus && process.arch === "x64") {
    for (const flags of flagsToProbe(features)) {
      const { status } = await run(compiler, [...flags, "-fsyntax-only", "-x", "c++", "/dev/null"]);
      if (status === 0) known.add(flags.join(" "));
    }
  }
  return cpuOptions({
    arch: process.arch,
    features,
    supports: (flags) => known.has(flags.join(" ")),
    allCpus,
  });
}

/** Reads ninja's "[12/80]" and make's "[ 15%]"; gives each whole percent once. */
export function createPercentReader(): (line: string) => number | null {
  let last = -1;
  return (line) => {
    const counted = /^\[(\d+)\/(\d+)\]/.exec(line);
    const made = /^\[\s*(\d+)%\]/.exec(line);
    const value =
      counted === null
        ? made === null
          ? null
          : Number(made[1])
        : Math.floor((Number(counted[1]) / Number(counted[2])) * 100);
    if (value === null || value <= last) return null;
    last = value;
    return value;
  };
}

function firstError(output: string): string {
  const line = output.split("\n").find((text) => /\berror\b/i.test(text)) ?? "";
  return line === "" ? "" : `${line.trim().slice(0, 300)}.`;
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}

/** How many compilers to run: one for each processor, but no more than memory serves (about 1.5 GB each). */
export function defaultJobs(): number {
  return Math.max(1, Math.min(os.availableParallelism(), Math.floor(os.freemem() / 1.5e9)));
}
