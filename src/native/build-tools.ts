/** The programs that a build of the native library needs, and how to get them. */
import { InkstoneError } from "../errors.ts";
import { isOlderVersion } from "./packages.ts";
import { runCommand } from "./run-command.ts";

/** The oldest versions that compile this llama.cpp: its minimum cmake, and <filesystem> in the C++ library itself. */
const minimum = { cmake: "3.14", gcc: "9.1", clang: "9.0" } as const;

export interface BuildTools {
  /** The C++ compiler's command. */
  readonly compiler: string;
  readonly compilerVersion: string;
  readonly cmakeVersion: string;
  readonly ninja: boolean;
}

/**
 * Looks for cmake, a C++ compiler, git, tar, and make or ninja.
 * Throws `native_build_failed` that names what is missing or too old and how this system installs it.
 */
export async function findBuildTools(
  readText: (path: string) => string | null,
  run: typeof runCommand = runCommand,
): Promise<BuildTools> {
  const probe = async (command: string): Promise<string | null> => {
    const { status, stdout } = await run(command, ["--version"], { timeoutMs: 20_000 });
    return status === 0 ? stdout : null;
  };
  const [cmake, git, tar, ninja, make] = await Promise.all(
    ["cmake", "git", "tar", "ninja", "make"].map(probe),
  );
  const problems: string[] = [];
  const missing: string[] = [];
  const cmakeVersion = /(\d+\.\d+(\.\d+)?)/.exec(cmake ?? "")?.[1] ?? null;
  if (cmakeVersion === null) missing.push("cmake");
  else if (isOlderVersion(cmakeVersion, minimum.cmake)) {
    problems.push(`cmake ${cmakeVersion} is older than ${minimum.cmake}`);
  }
  if (git === null || git === undefined) missing.push("git");
  if (tar === null || tar === undefined) missing.push("tar");
  const hasNinja = typeof ninja === "string";
  if (!hasNinja && typeof make !== "string") missing.push("make");

  const compiler = await findCompiler(probe);
  if (compiler === null) missing.push("a C++ compiler");
  else if (compiler.tooOldFor !== null) {
    problems.push(`${compiler.command} ${compiler.version} is older than ${compiler.tooOldFor}`);
  }
  if (missing.length > 0) problems.unshift(`not installed: ${missing.join(", ")}`);
  if (problems.length > 0 || compiler === null || cmakeVersion === null) {
    throw new InkstoneError(
      "native_build_failed",
      `The library cannot be built here: ${problems.join("; ")}. ${installAdvice(readText("/etc/os-release"))}`,
    );
  }
  return { compiler: compiler.command, compilerVersion: compiler.version, cmakeVersion, ninja: hasNinja };
}

interface Compiler {
  readonly command: string;
  readonly version: string;
  /** The version that it would have to be; null when it will do. */
  readonly tooOldFor: string | null;
}

/** The compiler that cmake takes when none is named: the first of these. */
async function findCompiler(probe: (command: string) => Promise<string | null>): Promise<Compiler | null> {
  for (const command of ["c++", "g++", "clang++"]) {
    const text = await probe(command);
    if (text === null) continue;
    const version = /(\d+\.\d+(\.\d+)?)/.exec(text.split("\n")[0]?.replace(/\(.*?\)/g, "") ?? "")?.[1] ?? "0";
    const needed = /clang/i.test(text) ? minimum.clang : minimum.gcc;
    return { command, version, tooOldFor: isOlderVersion(version, needed) ? needed : null };
  }
  return null;
}

/** One sentence with the command that installs the tools, from the text of /etc/os-release. */
export function installAdvice(osRelease: string | null): string {
  const ids = (osRelease ?? "")
    .split("\n")
    .flatMap((line) => /^(?:ID|ID_LIKE)=(.*)$/.exec(line)?.[1]?.replaceAll('"', "").split(/\s+/) ?? [])
    .map((id) => id.toLowerCase());
  const is = (...names: string[]): boolean => names.some((name) => ids.includes(name));
  if (is("debian", "ubuntu")) return "Run `apt-get install -y cmake g++ git make`.";
  if (is("rhel", "centos", "rocky", "almalinux", "ol")) {
    return "Run `dnf install -y cmake gcc-toolset-12-gcc-c++ git make`, then call inkstone through `scl enable gcc-toolset-12 bash`.";
  }
  if (is("fedora", "openeuler", "kylin", "anolis", "uos")) {
    return "Run `dnf install -y cmake gcc-c++ git make` (or the same with yum); where its compiler is older than GCC 9, install a newer gcc package.";
  }
  if (is("alpine")) return "Run `apk add cmake g++ git make linux-headers`.";
  if (is("suse", "opensuse", "opensuse-leap", "sles"))
    return "Run `zypper install -y cmake gcc-c++ git make`.";
  if (is("arch")) return "Run `pacman -S cmake gcc git make`.";
  return "Install cmake, a C++ compiler (GCC 9 or later), git and make.";
}
