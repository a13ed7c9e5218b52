/** How many threads compute, when nobody said so. */
import { availableParallelism } from "node:os";
import { readCgroupLimits } from "../../native/hardware-cpu.ts";
import type { ReadText } from "../../native/hardware-cpu.ts";
import { readTextFile } from "../../native/hardware.ts";

/**
 * One thread for each physical core that this process may use: two on the hardware threads of one core slow each other
 * down. A container's CPU quota counts as so many cores. At least 1.
 */
export function defaultThreads(
  parallelism: number = availableParallelism(),
  readText: ReadText = readTextFile,
): number {
  const quota = Math.floor(readCgroupLimits(readText).cpus ?? Infinity);
  return Math.max(1, Math.min(parallelism, allowedCores(readText) ?? parallelism, quota));
}

/** Cores with at least one processor that is there and that this process may run on; null where that is unknown. */
function allowedCores(readText: ReadText): number | null {
  const status = readText("/proc/self/status") ?? "";
  const allowedList = /^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1];
  const allowed = allowedList === undefined ? null : new Set(parseCpuList(allowedList));
  const cores = new Set<string>();
  for (const cpu of parseCpuList(readText("/sys/devices/system/cpu/present") ?? "")) {
    if (allowed?.has(cpu) === false) continue;
    const siblings = readText(`/sys/devices/system/cpu/cpu${cpu}/topology/core_cpus_list`);
    // A processor that is switched off has no topology.
    if (siblings !== null) cores.add(siblings.trim());
  }
  return cores.size === 0 ? null : cores.size;
}

/** The kernel's lists, such as "0-3,8". */
function parseCpuList(text: string): number[] {
  return text
    .trim()
    .split(",")
    .filter((range) => /^\d+(-\d+)?$/.test(range))
    .flatMap((range) => {
      const [first = 0, last = first] = range.split("-").map(Number);
      return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
    });
}
