/**
 * Which native library this machine uses: the table of prebuilt packages, and where a library is looked for. Nothing here
 * loads a library or reads the environment; the cache directory is passed in.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { InkstoneError } from "../errors.ts";

/** The one version of the packages, and the llama.cpp release inside them, that this Inkstone is written for. */
export const nativeRelease = {
  packageVersion: "3.22.1",
  llamaTag: "v0.5.0",
  /** Carries the source of that release as a git bundle. */
  sourcePackage: "node-llama-cpp",
  sourceIntegrity:
    "sha512-bltIipuWmc123H7tMIgDGKSsSrhmhlQYeVUC48XTjVW7XGJJiJJyCdlTMzQ/LiWoPkGDpcL4FviDpgw7qfTiDw==",
  /** The oldest glibc that the prebuilt libraries run on. */
  minGlibc: "2.34",
} as const;

/** What a directory must hold to be loaded; a build of one's own may leave the release out of the names. */
const nativeLibraries: readonly { readonly name: string; readonly pattern: RegExp }[] = [
  { name: "libggml-base.so", pattern: /^libggml-base(\.v[\d.]+)?\.(so|dylib)$/ },
  { name: `libggml.${nativeRelease.llamaTag}.so`, pattern: /^libggml(\.v[\d.]+)?\.(so|dylib)$/ },
  { name: `libllama.${nativeRelease.llamaTag}.so`, pattern: /^libllama(\.v[\d.]+)?\.(so|dylib)$/ },
];

/** The names that the prebuilt packages give these libraries. */
export const nativeLibraryFiles: readonly string[] = nativeLibraries.map(({ name }) => name);

/** What a prebuilt library computes on. "cuda" needs the CUDA 13 runtime, "cuda-ext" is the same with CUDA 12. */
export type NativeVariant = "cpu" | "cuda" | "cuda-ext" | "vulkan";
export const nativeVariants: readonly NativeVariant[] = ["cpu", "cuda", "cuda-ext", "vulkan"];

/** What the user asks for: "auto" takes what was installed last in the order of `resolveNativeDirectory`. */
export type NativeChoice = NativeVariant | "auto" | "built";

/** One prebuilt package of the registry at `nativeRelease.packageVersion`. */
export interface NativePackage {
  readonly name: string;
  readonly variant: NativeVariant;
  readonly platform: "linux";
  readonly arch: "x64" | "arm64";
  /** Directory of the libraries inside the package. */
  readonly directory: string;
  /** Name of the directory that it is unpacked to. */
  readonly id: string;
  /** Another variant whose files come first; this package only replaces some of them. */
  readonly over: NativeVariant | null;
  /** Subresource integrity of the package's tarball. */
  readonly integrity: string;
  /** Size of the tarball. */
  readonly downloadBytes: number;
}

const row = (
  variant: NativeVariant,
  arch: "x64" | "arm64",
  suffix: string,
  downloadBytes: number,
  integrity: string,
  over: { variant: NativeVariant; directory: string } | null = null,
): NativePackage => ({
  name: `@node-llama-cpp/linux-${arch}${suffix}`,
  variant,
  platform: "linux",
  arch,
  directory: over?.directory ?? `bins/linux-${arch}${suffix}`,
  id: `linux-${arch}${suffix}`,
  over: over?.variant ?? null,
  integrity,
  downloadBytes,
});

/** Every prebuilt package that exists at this version and that Inkstone can load (32-bit ARM has other struct sizes). */
export const nativePackages: readonly NativePackage[] = [
  row(
    "cpu",
    "x64",
    "",
    10_824_547,
    "sha512-5uCCDNqWCNfaAm8aR/Uzxbo4HBpKgNF91kCHPepKhgMgV2OAmatoefbOlMihsqCiH2Od35E/eUHQCFbfRBJuOg==",
  ),
  row(
    "cpu",
    "arm64",
    "",
    7_340_902,
    "sha512-W+7naKCXX9/eEjjFmRS8vvx91QyLXDbeFexxZc3bh/PtQABZgmRL3C0AtYYXn4YGTj/3Qor4lWZn2tpjZFPLdQ==",
  ),
  row(
    "cuda",
    "x64",
    "-cuda",
    142_898_030,
    "sha512-8rQCjyNNLZJUFit+YpjwlC4hwkKgOMIkB2wuycKBf8NU2O3ySKbiWZQ8aw9ku2nUTXjSnUIrE6KB88itduTBuA==",
  ),
  row(
    "cuda-ext",
    "x64",
    "-cuda-ext",
    176_664_119,
    "sha512-4e5ajkiM2aR2WAdB/N/ACk4weEhHvOAIrzxZPsIX0xDFW5+6hhShuy1/vs88SK9NGdgAco9IyE28eYS0H1efpA==",
    { variant: "cuda", directory: "bins/linux-x64-cuda/fallback" },
  ),
  row(
    "vulkan",
    "x64",
    "-vulkan",
    24_311_427,
    "sha512-bBxqU+JOcBu1nb5Qj2zcMci+JByT1E8EajHvYodyNfVIPkEhXh+/HMwR1/BT7xP08YK0hks+kM8fglER0P8JEg==",
  ),
];

/** What decides which library fits. */
export interface PlatformFacts {
  readonly platform: string;
  readonly arch: string;
  /** Such as "2.36"; null where the C library is not glibc. */
  readonly glibcVersion: string | null;
}

/** The facts of this machine. */
export function currentPlatform(): PlatformFacts {
  return { platform: process.platform, arch: process.arch, glibcVersion: runtimeGlibc() };
}

function runtimeGlibc(): string | null {
  if (process.platform !== "linux") return null;
  const report: unknown = process.report.getReport();
  const header = isRecord(report) ? report["header"] : undefined;
  const version = isRecord(header) ? header["glibcVersionRuntime"] : undefined;
  return typeof version === "string" ? version : null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Is version `a` older than `b`? Both are dotted numbers. */
export function isOlderVersion(a: string, b: string): boolean {
  const [left, right] = [a.split(".").map(Number), b.split(".").map(Number)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/**
 * The prebuilt package for a machine.
 * Throws `native_platform_unsupported`, with the reason, where none runs.
 */
export function selectPackage(facts: PlatformFacts, variant: NativeVariant = "cpu"): NativePackage {
  const forMachine = nativePackages.filter((p) => p.platform === facts.platform && p.arch === facts.arch);
  if (forMachine.length === 0) {
    throw new InkstoneError(
      "native_platform_unsupported",
      `There is no prebuilt llama.cpp ${nativeRelease.llamaTag} for ${facts.platform} ${facts.arch}; there is one for ` +
        `${prebuiltPlatforms()} with glibc ${nativeRelease.minGlibc} or later.`,
    );
  }
  if (facts.glibcVersion === null) {
    throw new InkstoneError(
      "native_platform_unsupported",
      `The prebuilt library needs glibc ${nativeRelease.minGlibc} or later, and this system has another C library (such as musl).`,
    );
  }
  if (isOlderVersion(facts.glibcVersion, nativeRelease.minGlibc)) {
    throw new InkstoneError(
      "native_platform_unsupported",
      `The prebuilt library needs glibc ${nativeRelease.minGlibc} or later, and this system has ${facts.glibcVersion}.`,
    );
  }
  const found = forMachine.find((p) => p.variant === variant);
  if (found === undefined) {
    throw new InkstoneError(
      "native_platform_unsupported",
      `There is no prebuilt ${variant} library for ${facts.platform} ${facts.arch}; there is: ` +
        `${forMachine.map((p) => p.variant).join(", ")}.`,
    );
  }
  return found;
}

function prebuiltPlatforms(): string {
  return nativePackages
    .filter((p) => p.variant === "cpu")
    .map((p) => `${p.platform} ${p.arch}`)
    .join(" and ");
}

/** Where a native library was found, and who put it there. */
export interface NativeLocation {
  readonly directory: string;
  readonly origin: "flag" | "fetched" | "built" | "package";
}

/** Directory that `doctor --install-native` fills for a package. */
export function fetchedDirectory(cacheDir: string, nativePackage: NativePackage): string {
  return path.join(cacheDir, "native", `${nativePackage.id}-${nativeRelease.packageVersion}`);
}

/** Directory that `doctor --build-native` fills. */
export function builtDirectory(cacheDir: string): string {
  return path.join(cacheDir, "native", `built-${nativeRelease.packageVersion}`);
}

/** The library files that a directory lacks; empty when it is complete, all of them when it is not there. */
export function missingLibraryFiles(directory: string): string[] {
  const files = existsSync(directory) && statSync(directory).isDirectory() ? readdirSync(directory) : [];
  return nativeLibraries
    .filter(({ pattern }) => !files.some((file) => pattern.test(file)))
    .map(({ name }) => name);
}

/** The libraries of an installed npm package, or null when npm did not install it. */
export function installedPackageDirectory(nativePackage: NativePackage): string | null {
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(nativePackage.name);
  } catch {
    return null;
  }
  // the package exports only its entry, dist/index.js
  const directory = path.join(path.dirname(entry), "..", nativePackage.directory);
  return missingLibraryFiles(directory).length === 0 ? directory : null;
}

/**
 * The library that a process loads: `directory` when given, else the npm package of this platform.
 * Throws `native_not_found`, or `native_platform_unsupported` where no prebuilt library runs.
 */
export function locateNative(
  directory: string | null,
  facts: PlatformFacts = currentPlatform(),
): NativeLocation {
  if (directory !== null) return { directory: checkDirectory(directory), origin: "flag" };
  const nativePackage = selectPackage(facts);
  const installed = installedPackageDirectory(nativePackage);
  if (installed === null) throw notInstalled(nativePackage);
  return { directory: installed, origin: "package" };
}

export interface ResolveNativeOptions {
  /** The directory that the user named; it wins. */
  readonly flag: string | null;
  readonly cacheDir: string;
  readonly variant: NativeChoice;
}

/**
 * Turns the settings into one concrete directory. In the order of "auto": the named directory, a fetched GPU library, one that was built
 * here, the npm package, a fetched CPU library.
 * Throws `native_not_found` when the one asked for is not here, `native_platform_unsupported` when none can be.
 */
export function resolveNativeDirectory(
  options: ResolveNativeOptions,
  facts: PlatformFacts = currentPlatform(),
): NativeLocation {
  const { flag, cacheDir, variant } = options;
  if (flag !== null) return { directory: checkDirectory(flag), origin: "flag" };
  const built = builtDirectory(cacheDir);
  const isBuilt = missingLibraryFiles(built).length === 0;

  if (variant === "built") {
    if (isBuilt) return { directory: built, origin: "built" };
    throw new InkstoneError(
      "native_not_found",
      `No library was built in ${built}: run \`inkstone doctor --build-native\`.`,
    );
  }
  if (variant === "auto") {
    const gpu = nativePackages.find((p) => p.variant !== "cpu" && isFetched(cacheDir, p, facts));
    if (gpu !== undefined) return { directory: fetchedDirectory(cacheDir, gpu), origin: "fetched" };
    if (isBuilt) return { directory: built, origin: "built" };
  }

  const nativePackage = selectPackage(facts, variant === "auto" ? "cpu" : variant);
  if (nativePackage.variant === "cpu") {
    const installed = installedPackageDirectory(nativePackage);
    if (installed !== null) return { directory: installed, origin: "package" };
  }
  if (isFetched(cacheDir, nativePackage, facts)) {
    return { directory: fetchedDirectory(cacheDir, nativePackage), origin: "fetched" };
  }
  throw notInstalled(nativePackage);
}

function isFetched(cacheDir: string, nativePackage: NativePackage, facts: PlatformFacts): boolean {
  return (
    nativePackage.platform === facts.platform &&
    nativePackage.arch === facts.arch &&
    missingLibraryFiles(fetchedDirectory(cacheDir, nativePackage)).length === 0
  );
}

function checkDirectory(directory: string): string {
  const resolved = path.resolve(directory);
  const missing = missingLibraryFiles(resolved);
  if (missing.length > 0) {
    throw new InkstoneError(
      "native_not_found",
      existsSync(resolved)
        ? `The directory ${resolved} does not hold ${missing.join(", ")}.`
        : `The native library's directory ${resolved} does not exist.`,
    );
  }
  return resolved;
}

function notInstalled(nativePackage: NativePackage): InkstoneError {
  return new InkstoneError(
    "native_not_found",
    `${nativePackage.name} ${nativeRelease.packageVersion} is not installed: run ` +
      `\`inkstone doctor --install-native ${nativePackage.variant}\`.`,
  );
}
