import { describe, expect, test } from "vitest";
import { parseCpuInfo, parseMemInfo, readCgroupLimits } from "./hardware-cpu.ts";
import { parseNpuSmi, parseNvidiaSmi, parseRocmSmi } from "./hardware-gpu.ts";
import { bufferBytesPerThread } from "./memory-bandwidth.ts";

const fallback = { model: "unknown", logicalCores: 4 };

describe("parseCpuInfo", () => {
  test("counts cores over sockets and names the instruction sets", () => {
    const core = (socket: number, id: number): string =>
      `model name\t: Xeon\nphysical id\t: ${socket}\ncore id\t: ${id}\nflags\t: sse4_2 avx avx2 avx512f avx512cd avx512vl avx512dq avx512bw avx512vbmi amx_tile\n\n`;
    const text = core(0, 0) + core(0, 1) + core(0, 1) + core(1, 0);
    expect(parseCpuInfo(text, fallback)).toEqual({
      model: "Xeon",
      physicalCores: 3,
      logicalCores: 4,
      features: ["sse4_2", "avx", "avx2", "avx512", "avx512_vbmi", "amx_tile"],
    });
  });

  test("AVX-512 without one of its needed parts is none", () => {
    expect(parseCpuInfo("flags : avx512f avx512cd", fallback).features).toEqual([]);
  });

  test("reads ARM's names", () => {
    const text = "processor : 0\nFeatures : fp asimd asimddp asimdhp i8mm sve\n";
    expect(parseCpuInfo(text, fallback)).toMatchObject({
      model: "unknown",
      physicalCores: null,
      features: ["neon", "dotprod", "fp16", "i8mm", "sve"],
    });
  });

  test("does without the file", () => {
    expect(parseCpuInfo(null, fallback)).toMatchObject({ model: "unknown", features: [] });
  });
});

test("parseMemInfo reads kilobytes", () => {
  const text = "MemTotal:       1000 kB\nMemFree:  10 kB\nMemAvailable:    600 kB\nSwapTotal: 5 kB\n";
  expect(parseMemInfo(text)).toEqual({ totalBytes: 1_024_000, availableBytes: 614_400, swapBytes: 5120 });
  expect(parseMemInfo("nothing")).toBeNull();
  expect(parseMemInfo(null)).toBeNull();
});

describe("readCgroupLimits", () => {
  const reader =
    (files: Record<string, string>) =>
    (file: string): string | null =>
      files[file] ?? null;

  test("version 2: the tightest of a group and its parents", () => {
    const files = {
      "/proc/self/cgroup": "0::/a/b\n",
      "/sys/fs/cgroup/a/b/memory.max": "max\n",
      "/sys/fs/cgroup/a/memory.max": "2000000\n",
      "/sys/fs/cgroup/a/b/cpu.max": "150000 100000\n",
      "/sys/fs/cgroup/a/cpu.max": "max 100000\n",
    };
    expect(readCgroupLimits(reader(files))).toEqual({ memoryBytes: 2_000_000, cpus: 1.5 });
  });

  test("version 2 in a container, whose group is the mount's root", () => {
    const files = { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "1000\n" };
    expect(readCgroupLimits(reader(files))).toEqual({ memoryBytes: 1000, cpus: null });
  });

  test("version 1, where no limit is a huge number and a quota of -1", () => {
    const files = {
      "/proc/self/cgroup": "5:memory:/x\n3:cpu,cpuacct:/x\n",
      "/sys/fs/cgroup/memory/x/memory.limit_in_bytes": "9223372036854771712\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "5000\n",
      "/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "-1\n",
      "/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
    };
    expect(readCgroupLimits(reader(files))).toEqual({ memoryBytes: 5000, cpus: null });
  });

  test("none outside Linux", () => {
    expect(readCgroupLimits(() => null)).toEqual({ memoryBytes: null, cpus: null });
  });
});

describe("accelerators", () => {
  test("nvidia-smi", () => {
    expect(parseNvidiaSmi("NVIDIA H200, 143771, 143000, 570.86, 9.0\nX, [N/A], [N/A], 1, 8.6\n")).toEqual([
      {
        vendor: "nvidia",
        name: "NVIDIA H200",
        totalBytes: 143_771 * 1024 ** 2,
        freeBytes: 143_000 * 1024 ** 2,
        driver: "570.86",
        computeCapability: "9.0",
      },
      expect.objectContaining({ name: "X", totalBytes: null, freeBytes: null }),
    ]);
    expect(parseNvidiaSmi("No devices were found\n")).toEqual([]);
  });

  test("rocm-smi", () => {
    const text = JSON.stringify({
      card0: { "Card Series": "MI300X", "VRAM Total Memory (B)": "100", "VRAM Total Used Memory (B)": "40" },
      system: { "Driver version": "6" },
    });
    expect(parseRocmSmi(text)).toEqual([
      expect.objectContaining({ name: "MI300X", totalBytes: 100, freeBytes: 60 }),
    ]);
    expect(parseRocmSmi("WARNING: no GPU")).toEqual([]);
  });

  test("npu-smi", () => {
    const text = `
| npu-smi 24.1.rc2                 Version: 24.1.rc2                                            |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B2               | OK            | 95.7        45                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3381 / 65536         |
+===========================+===============+====================================================+
`;
    expect(parseNpuSmi(text)).toEqual([
      {
        vendor: "ascend",
        name: "Ascend 910B2",
        totalBytes: 65_536 * 1024 ** 2,
        freeBytes: (65_536 - 3381) * 1024 ** 2,
        driver: "24.1.rc2",
        computeCapability: null,
      },
    ]);
  });
});

test("the measuring buffers exceed the cache and spare small machines", () => {
  const mebibyte = 1024 ** 2;
  const size = (threads: number, cacheMiB: number, memoryMiB: number): number =>
    bufferBytesPerThread({
      threads,
      lastLevelCacheBytes: cacheMiB * mebibyte,
      usableMemoryBytes: memoryMiB * mebibyte,
    }) / mebibyte;
  expect(size(1, 256, 100_000)).toBe(1024);
  expect(size(32, 32, 100_000)).toBe(64);
  expect(size(4, 32, 512)).toBe(32);
  expect(size(4, 32, 1)).toBe(1);
});
