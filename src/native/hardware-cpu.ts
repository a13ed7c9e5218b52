/** What the operating system says about processors and memory: parsers of its text files, which are passed in. */

/** Reads a text file; null when it cannot be read. */
export type ReadText = (path: string) => string | null;

/** Instruction sets that decide how quickly the CPU kernels run. */
export const cpuFeatureNames = [
  "sse4_2",
  "avx",
  "f16c",
  "fma",
  "avx2",
  "bmi2",
  "avx_vnni",
  "avx512",
  "avx512_vbmi",
  "avx512_vnni",
  "avx512_bf16",
  "amx_tile",
  "amx_int8",
  "amx_bf16",
  "neon",
  "dotprod",
  "fp16",
  "i8mm",
  "bf16",
  "sve",
  "sve2",
  "sme",
] as const;
export type CpuFeature = (typeof cpuFeatureNames)[number];

export interface CpuInfo {
  readonly model: string;
  /** Cores of the machine, without the second threads of one core; null where unknown. */
  readonly physicalCores: number | null;
  /** Threads that this process may use at once. */
  readonly logicalCores: number;
  readonly features: readonly CpuFeature[];
}

/** The kernel's names, where they differ from ours. */
const aliases: Readonly<Record<string, CpuFeature>> = {
  avx512vbmi: "avx512_vbmi",
  asimd: "neon",
  asimddp: "dotprod",
  asimdhp: "fp16",
};
const avx512Parts = ["avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"];

/** Reads /proc/cpuinfo (x86 and ARM). `fallback` serves where it is missing or names no model. */
export function parseCpuInfo(
  text: string | null,
  fallback: { readonly model: string; readonly logicalCores: number },
): CpuInfo {
  const fields = (text ?? "").split("\n").map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()] as const;
  });
  const first = (name: string): string | undefined => fields.find(([key]) => key === name)?.[1];
  const flags = new Set((first("flags") ?? first("Features") ?? "").split(/\s+/));
  const found = new Set<CpuFeature>();
  for (const flag of flags) {
    const name = aliases[flag] ?? cpuFeatureNames.find((feature) => feature === flag);
    if (name !== undefined) found.add(name);
  }
  if (avx512Parts.every((part) => flags.has(part))) found.add("avx512");

  const cores = new Set<string>();
  let socket = "0";
  for (const [key, value] of fields) {
    if (key === "physical id") socket = value;
    if (key === "core id") cores.add(`${socket}/${value}`);
  }
  return {
    model: first("model name") ?? first("Hardware") ?? fallback.model,
    physicalCores: cores.size > 0 ? cores.size : null,
    logicalCores: fallback.logicalCores,
    features: cpuFeatureNames.filter((name) => found.has(name)),
  };
}

export interface MemoryInfo {
  readonly totalBytes: number;
  readonly availableBytes: number;
  readonly swapBytes: number;
}

/** Reads /proc/meminfo; null when it is not there or says nothing. */
export function parseMemInfo(text: string | null): MemoryInfo | null {
  if (text === null) return null;
  const bytes = (name: string): number | null => {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text);
    return match?.[1] === undefined ? null : Number(match[1]) * 1024;
  };
  const total = bytes("MemTotal");
  if (total === null) return null;
  return {
    totalBytes: total,
    availableBytes: bytes("MemAvailable") ?? bytes("MemFree") ?? total,
    swapBytes: bytes("SwapTotal") ?? 0,
  };
}

/** Limits that a container or a service manager puts on this process; null: none. */
export interface CgroupLimits {
  readonly memoryBytes: number | null;
  /** In processors, such as 1.5. */
  readonly cpus: number | null;
}

/** The tightest limits from this process's control group up to the root (versions 2 and 1). */
export function readCgroupLimits(readText: ReadText): CgroupLimits {
  const lines = (readText("/proc/self/cgroup") ?? "").trim().split("\n");
  let memoryBytes: number | null = null;
  let cpus: number | null = null;
  for (const line of lines) {
    const [, controllers, group] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined || group === undefined) continue;
    for (const level of ancestors(group)) {
      if (controllers === "") {
        memoryBytes = tightest(memoryBytes, toLimit(readText(`/sys/fs/cgroup${level}/memory.max`)));
        const [quota, period] = (readText(`/sys/fs/cgroup${level}/cpu.max`) ?? "").trim().split(/\s+/);
        cpus = tightest(cpus, ratio(quota, period));
      } else if (controllers.split(",").includes("memory")) {
        memoryBytes = tightest(
          memoryBytes,
          toLimit(readText(`/sys/fs/cgroup/memory${level}/memory.limit_in_bytes`)),
        );
      } else if (controllers.split(",").includes("cpu")) {
        const directory = `/sys/fs/cgroup/${controllers}${level}`;
        cpus = tightest(
          cpus,
          ratio(
            readText(`${directory}/cpu.cfs_quota_us`)?.trim(),
            readText(`${directory}/cpu.cfs_period_us`)?.trim(),
          ),
        );
      }
    }
  }
  return { memoryBytes, cpus };
}

/** A group, its parents, and the root, whose files lie directly in the mount point. */
function ancestors(group: string): string[] {
  const parts = group.split("/").filter((part) => part !== "" && part !== "..");
  return [...parts.keys()].map((i) => `/${parts.slice(0, parts.length - i).join("/")}`).concat("");
}

function tightest(a: number | null, b: number | null): number | null {
  if (a === null) return b;
  return b === null ? a : Math.min(a, b);
}

function toLimit(text: string | null): number | null {
  const value = Number(text?.trim() || Number.NaN);
  // version 1 writes "none" as a number near 2^63
  return Number.isFinite(value) && value > 0 && value < 2 ** 60 ? value : null;
}

function ratio(quota: string | undefined, period: string | undefined): number | null {
  const value = Number(quota || Number.NaN) / Number(period || Number.NaN);
  return Number.isFinite(value) && value > 0 ? value : null;
}
