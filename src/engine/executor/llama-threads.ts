/** How many threads compute, when nobody said so. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** Reads a small system file; null when it is not there. */
export type ReadSystemFile = (path: string) => string | null;

const readSystemFile: ReadSystemFile = (path) => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
};

/**
 * One thread for each physical core that this process may use: two on the hardware threads of one core slow each other
 * down. A container's CPU quota counts as so many cores. At least 1.
 */
export function defaultThreads(
  parallelism: number = availableParallelism(),
  read: ReadSystemFile = readSystemFile,
): number {
  return Math.max(1, Math.min(parallelism, physicalCores(parallelism, read), cpuQuota(read)));
}

function physicalCores(parallelism: number, read: ReadSystemFile): number {
  const cores = new Set<string>();
  for (let cpu = 0; ; cpu++) {
    const siblings = read(`/sys/devices/system/cpu/cpu${cpu}/topology/core_cpus_list`);
    if (siblings === null) break;
    cores.add(siblings.trim());
  }
  return cores.size === 0 ? parallelism : cores.size;
}

function cpuQuota(read: ReadSystemFile): number {
  const [quota, period] = (read("/sys/fs/cgroup/cpu.max") ?? "max").trim().split(" ").map(Number);
  if (quota === undefined || period === undefined || !(quota > 0) || !(period > 0)) return Infinity;
  return Math.max(1, Math.floor(quota / period));
}
