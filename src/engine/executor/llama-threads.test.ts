import { describe, expect, test } from "vitest";
import { defaultThreads } from "./llama-threads.ts";
import type { ReadSystemFile } from "./llama-threads.ts";

const machine =
  (siblings: string[], quota: string | null = null): ReadSystemFile =>
  (path) => {
    if (path === "/sys/fs/cgroup/cpu.max") return quota;
    const cpu = /cpu(\d+)\/topology\/core_cpus_list$/.exec(path)?.[1];
    return cpu === undefined ? null : (siblings[Number(cpu)] ?? null);
  };

describe("defaultThreads", () => {
  test("counts a core with two hardware threads once", () => {
    expect(defaultThreads(4, machine(["0,2\n", "1,3\n", "0,2\n", "1,3\n"]))).toBe(2);
  });

  test("uses no more than the process may", () => {
    expect(defaultThreads(2, machine(["0", "1", "2", "3"]))).toBe(2);
  });

  test("keeps to a container's quota", () => {
    const cores = ["0", "1", "2", "3"];
    expect(defaultThreads(4, machine(cores, "250000 100000\n"))).toBe(2);
    expect(defaultThreads(4, machine(cores, "50000 100000\n"))).toBe(1);
    expect(defaultThreads(4, machine(cores, "max 100000\n"))).toBe(4);
  });

  test("knows nothing of the machine: what the process may use", () => {
    expect(defaultThreads(6, () => null)).toBe(6);
  });
});
