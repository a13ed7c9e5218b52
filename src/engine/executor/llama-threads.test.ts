import { describe, expect, test } from "vitest";
import type { ReadText } from "../../native/hardware-cpu.ts";
import { defaultThreads } from "./llama-threads.ts";

/** A machine whose processors have these siblings (null: switched off), with other files beside. */
const machine =
  (siblings: (string | null)[], files: Record<string, string> = {}): ReadText =>
  (path) => {
    if (path === "/sys/devices/system/cpu/present") return `0-${siblings.length - 1}\n`;
    const cpu = /cpu(\d+)\/topology\/core_cpus_list$/.exec(path)?.[1];
    return cpu === undefined ? (files[path] ?? null) : (siblings[Number(cpu)] ?? null);
  };
const cores = ["0", "1", "2", "3"];

describe("defaultThreads", () => {
  test("counts a core with two hardware threads once", () => {
    expect(defaultThreads(4, machine(["0,2\n", "1,3\n", "0,2\n", "1,3\n"]))).toBe(2);
  });

  test("uses no more than the process may", () => {
    expect(defaultThreads(2, machine(cores))).toBe(2);
  });

  test("passes by a processor that is switched off, and counts those after it", () => {
    expect(defaultThreads(8, machine(["0", null, "2", "3"]))).toBe(3);
  });

  test("counts only the cores of processors that the process may run on", () => {
    const pinned = { "/proc/self/status": "Name:\tnode\nCpus_allowed_list:\t0-1,4\n" };
    expect(defaultThreads(3, machine(["0-1", "0-1", "2-3", "2-3", "4-5", "4-5"], pinned))).toBe(2);
  });

  test.each([
    ["250000 100000\n", 2],
    ["50000 100000\n", 1],
    ["max 100000\n", 4],
  ])("keeps to a container's quota, %j", (quota, threads) => {
    const files = { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": quota };
    expect(defaultThreads(4, machine(cores, files))).toBe(threads);
  });

  test("keeps to a quota of control groups version 1", () => {
    const files = {
      "/proc/self/cgroup": "4:cpu,cpuacct:/docker/abc\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    };
    expect(defaultThreads(4, machine(cores, files))).toBe(3);
    const unlimited = { ...files, "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n" };
    expect(defaultThreads(4, machine(cores, unlimited))).toBe(4);
  });

  test("knows nothing of the machine: what the process may use", () => {
    expect(defaultThreads(6, () => null)).toBe(6);
  });
});
