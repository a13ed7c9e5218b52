/**
 * Fetches a prebuilt library into the cache directory, through the user's own npm: its registry, proxy and certificates
 * apply. A download is checked against the pinned integrity, unpacked aside and renamed into place.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, rename, rm, stat, symlink } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { InkstoneError } from "../errors.ts";
import {
  currentPlatform,
  fetchedDirectory,
  missingLibraryFiles,
  nativeLibraryFiles,
  nativeRelease,
  resolveNativeDirectory,
  selectPackage,
} from "./packages.ts";
import type {
  NativeLocation,
  NativePackage,
  NativeVariant,
  PlatformFacts,
  ResolveNativeOptions,
} from "./packages.ts";
import { runCommand } from "./run-command.ts";
import type { RunResult } from "./run-command.ts";

const stagingPrefix = ".staging-";

/** Runs a program; replaced in tests. */
export type Run = typeof runCommand;

export interface InstallOptions {
  readonly cacheDir: string;
  readonly variant: NativeVariant;
  readonly signal?: AbortSignal;
  /** One line of text for the user at each stage. */
  readonly onProgress?: (message: string) => void;
  readonly facts?: PlatformFacts;
  readonly run?: Run;
}

/**
 * Makes a prebuilt library available and returns where it is; at once when it is here already.
 * Throws `native_platform_unsupported`, `download_failed`, `checksum_mismatch`, `disk_full`, `cache_not_writable` or `interrupted`.
 */
export async function installNative(options: InstallOptions): Promise<NativeLocation> {
  const facts = options.facts ?? currentPlatform();
  const nativePackage = selectPackage(facts, options.variant);
  const target = fetchedDirectory(options.cacheDir, nativePackage);
  const location: NativeLocation = { directory: target, origin: "fetched" };
  if (missingLibraryFiles(target).length === 0) return location;

  await inStaging(options.cacheDir, async (staging) => {
    const libraries = path.join(staging, "libraries");
    await mkdir(libraries);
    const layers =
      nativePackage.over === null
        ? [nativePackage]
        : [selectPackage(facts, nativePackage.over), nativePackage];
    for (const layer of layers) await addLayer(layer, staging, libraries, options);
    await linkPlainNames(libraries);
    const missing = missingLibraryFiles(libraries);
    if (missing.length > 0) {
      throw new InkstoneError(
        "native_mismatch",
        `${nativePackage.name} ${nativeRelease.packageVersion} lacks ${missing.join(", ")}.`,
      );
    }
    await putInPlace(libraries, target);
  });
  return location;
}

export interface EnsureOptions extends ResolveNativeOptions {
  /** Never use the network. */
  readonly offline?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (message: string) => void;
  readonly facts?: PlatformFacts;
  readonly run?: Run;
}

/**
 * `resolveNativeDirectory`, fetching the CPU library when npm did not install one, as on a platform that its `cpu` field cannot name alone.
 * Throws what that and `installNative` throw.
 */
export async function ensureNative(options: EnsureOptions): Promise<NativeLocation> {
  const facts = options.facts ?? currentPlatform();
  try {
    return resolveNativeDirectory(options, facts);
  } catch (error) {
    const canFetch =
      error instanceof InkstoneError &&
      error.code === "native_not_found" &&
      options.flag === null &&
      (options.variant === "auto" || options.variant === "cpu") &&
      options.offline !== true;
    if (!canFetch) throw error;
  }
  return installNative({ ...options, facts, variant: "cpu" });
}

/** Fetches one package of the registry into `directory` and returns the path of its verified tarball. */
export async function fetchTarball(
  spec: { readonly name: string; readonly integrity: string },
  directory: string,
  options: { readonly signal?: AbortSignal; readonly run?: Run },
): Promise<string> {
  const run = options.run ?? runCommand;
  const wanted = `${spec.name}@${nativeRelease.packageVersion}`;
  const destination = await mkdtemp(path.join(directory, "tarball-"));
  const result = await run("npm", ["pack", wanted, "--pack-destination", destination, "--ignore-scripts"], {
    cwd: destination,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const name = (await readdir(destination)).find((file) => file.endsWith(".tgz"));
  if (result.status !== 0 || name === undefined) throw npmError(wanted, result);

  const tarball = path.join(destination, name);
  const found = await integrityOf(tarball);
  if (found !== spec.integrity) {
    throw new InkstoneError(
      "checksum_mismatch",
      `${wanted} has the integrity ${found}, and ${spec.integrity} was expected.`,
    );
  }
  return tarball;
}

/** Unpacks members of a .tgz with the system's tar. Throws `native_build_failed` naming what tar said, or `disk_full`. */
export async function extractTarball(
  tarball: string,
  directory: string,
  members: readonly string[],
  run: Run = runCommand,
): Promise<void> {
  const result = await run("tar", ["-xzf", tarball, "-C", directory, ...members]);
  if (result.status === 0) return;
  if (result.failure === "not-found") {
    throw new InkstoneError(
      "native_build_failed",
      "The program tar is not installed; it is needed to unpack packages.",
    );
  }
  const said = lastLine(result.stderr);
  throw new InkstoneError(
    /no space left/i.test(result.stderr) ? "disk_full" : "native_build_failed",
    `tar could not unpack ${path.basename(tarball)}: ${said}.`,
  );
}

/**
 * Runs `work` with a fresh directory beside the final one, and removes it afterwards.
 * Throws `cache_not_writable` or `disk_full` where it cannot be made.
 */
export async function inStaging<T>(cacheDir: string, work: (directory: string) => Promise<T>): Promise<T> {
  const parent = path.join(cacheDir, "native");
  let staging: string;
  try {
    await mkdir(parent, { recursive: true });
    await removeStale(parent);
    staging = await mkdtemp(path.join(parent, stagingPrefix));
  } catch (error) {
    throw fileError(error, parent);
  }
  try {
    return await work(staging);
  } catch (error) {
    throw fileError(error, parent);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** Removes what killed processes left; a fetch or a build takes less than a day. */
async function removeStale(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(stagingPrefix)) continue;
    const directory = path.join(parent, name);
    const { mtimeMs } = await stat(directory);
    if (Date.now() - mtimeMs > 86_400_000) await rm(directory, { recursive: true, force: true });
  }
}

/** Renames a finished directory into place. A complete one that is there already stays, unless it is to be replaced. */
export async function putInPlace(finished: string, target: string, replace = false): Promise<void> {
  try {
    await rename(finished, target);
  } catch (error) {
    if (!hasCode(error, "ENOTEMPTY", "EEXIST")) throw error;
    if (!replace && missingLibraryFiles(target).length === 0) return;
    // renamed first: a process that has it loaded keeps its files, and the target is never half there
    await rename(target, `${finished}-replaced`);
    await rename(finished, target);
  }
}

async function addLayer(
  layer: NativePackage,
  staging: string,
  libraries: string,
  options: InstallOptions,
): Promise<void> {
  const megabytes = Math.ceil(layer.downloadBytes / 1e6);
  options.onProgress?.(
    `Fetching ${layer.name} ${nativeRelease.packageVersion} (${megabytes} MB) through npm`,
  );
  const tarball = await fetchTarball(layer, staging, options);
  options.onProgress?.(`Unpacking ${layer.name}`);
  const unpacked = await mkdtemp(path.join(staging, "unpacked-"));
  await extractTarball(tarball, unpacked, [`package/${layer.directory}`, "package/LICENSE"], options.run);
  await rm(tarball);
  await cp(path.join(unpacked, "package", layer.directory), libraries, { recursive: true });
  await cp(path.join(unpacked, "package", "LICENSE"), path.join(libraries, "LICENSE"));
  await rm(unpacked, { recursive: true });
}

/** GPU packages name their libraries after the backend ("libllama.cuda.v0.5.0.so"): the loader's names lead to them. */
async function linkPlainNames(directory: string): Promise<void> {
  const files = await readdir(directory);
  for (const plain of nativeLibraryFiles) {
    if (files.includes(plain)) continue;
    const dot = plain.indexOf(".");
    const [stem, rest] = [plain.slice(0, dot), plain.slice(dot)];
    const named = files.find((file) => file.startsWith(`${stem}.`) && file.endsWith(rest));
    if (named !== undefined) await symlink(named, path.join(directory, plain));
  }
}

async function integrityOf(file: string): Promise<string> {
  const hash = createHash("sha512");
  await pipeline(createReadStream(file), hash);
  return `sha512-${hash.digest("base64")}`;
}

function npmError(wanted: string, result: RunResult): InkstoneError {
  if (result.failure === "aborted") {
    return new InkstoneError("interrupted", `Fetching ${wanted} was interrupted.`);
  }
  if (result.failure === "not-found") {
    return new InkstoneError(
      "download_failed",
      `npm is not installed or not on the PATH; it is needed to fetch ${wanted}.`,
    );
  }
  if (/ENOSPC/.test(result.stderr)) {
    return new InkstoneError("disk_full", `No space was left while npm fetched ${wanted}.`);
  }
  const reason = result.stderr
    .split("\n")
    .filter((line) => line.startsWith("npm error"))
    .map((line) => line.slice("npm error".length).trim())
    .filter((line) => line !== "" && !line.startsWith("A complete log"))
    .slice(0, 3)
    .join(" ");
  return new InkstoneError(
    "download_failed",
    `npm could not fetch ${wanted}: ${reason === "" ? `status ${result.status}` : reason}`,
  );
}

function fileError(error: unknown, directory: string): unknown {
  if (hasCode(error, "ENOSPC", "EDQUOT")) {
    return new InkstoneError("disk_full", `No space is left for ${directory}.`, { cause: error });
  }
  if (hasCode(error, "EACCES", "EPERM", "EROFS", "ENOTDIR")) {
    return new InkstoneError("cache_not_writable", `The directory ${directory} cannot be written to.`, {
      cause: error,
    });
  }
  return error;
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return (
    error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code)
  );
}

function lastLine(text: string): string {
  return text.trimEnd().split("\n").at(-1) ?? "";
}
