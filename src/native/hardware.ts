/** The machine that this process runs on: processors, memory, limits, accelerators. Nothing is loaded. */
import { readFileSync } from "node:fs";
import os from "node:os";
import { parseCpuInfo, parseMemInfo, readCgroupLimits } from "./hardware-cpu.ts";
import type { CgroupLimits, CpuInfo, MemoryInfo, ReadText } from "./hardware-cpu.ts";
import { listGpus } from "./hardware-gpu.ts";
import type { Gpu } from "./hardware-gpu.ts";
import { currentPlatform } from "./packages.ts";
import type { PlatformFacts } from "./packages.ts";

export interface Hardware {
  readonly system: {
    /** Such as "Debian GNU/Linux 12 (bookworm)". */
    readonly name: string;
    readonly kernel: string;
    readonly nodeVersion: string;
  };
  readonly platform: PlatformFacts;
  readonly cpu: CpuInfo;
  readonly memory: MemoryInfo;
  readonly limits: CgroupLimits;
  /** What this process may still use: available memory, within the control group's limit. */
  readonly usableMemoryBytes: number;
  /** Size of the last-level cache; null where unknown. */
  readonly lastLevelCacheBytes: number | null;
  readonly gpus: readonly Gpu[];
}

/** Reads everything once; takes as long as the vendors' tools do. */
export async function probeHardware(readText: ReadText = readTextFile): Promise<Hardware> {
  const memory = parseMemInfo(readText("/proc/meminfo")) ?? {
    totalBytes: os.totalmem(),
    availableBytes: os.freemem(),
    swapBytes: 0,
  };
  const limits = readCgroupLimits(readText);
  return {
    system: {
      name: systemName(readText("/etc/os-release")),
      kernel: `${os.type()} ${os.release()}`,
      nodeVersion: process.versions.node,
    },
    platform: currentPlatform(),
    cpu: parseCpuInfo(readText("/proc/cpuinfo"), {
      model: os.cpus()[0]?.model ?? "unknown",
      logicalCores: os.availableParallelism(),
    }),
    memory,
    limits,
    usableMemoryBytes: Math.min(memory.availableBytes, limits.memoryBytes ?? Number.POSITIVE_INFINITY),
    lastLevelCacheBytes: lastLevelCache(readText),
    gpus: await listGpus(),
  };
}

/** A text file, or null when it cannot be read. */
export function readTextFile(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

function systemName(osRelease: string | null): string {
  const pretty = /^PRETTY_NAME="?([^"\n]+)"?$/m.exec(osRelease ?? "")?.[1];
  return pretty ?? `${os.type()} ${os.release()}`;
}

/** Linux lists the caches of a processor by level, such as index3 with "32768K". */
function lastLevelCache(readText: ReadText): number | null {
  for (const index of [4, 3, 2]) {
    const text = readText(`/sys/devices/system/cpu/cpu0/cache/index${index}/size`)?.trim() ?? "";
    const match = /^(\d+)([KM])$/.exec(text);
    if (match !== null) return Number(match[1]) * (match[2] === "M" ? 1024 ** 2 : 1024);
  }
  return null;
}
