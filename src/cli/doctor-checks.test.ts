import { describe, expect, test } from "vitest";
import { hostOf, judge, networkSettings } from "./doctor-checks.ts";
import type { Check, MachineFacts } from "./doctor-checks.ts";

const healthy: MachineFacts = {
  hardware: {
    system: { name: "Debian 12", kernel: "Linux 6.1", nodeVersion: "20.20.2" },
    platform: { platform: "linux", arch: "x64", glibcVersion: "2.36" },
    cpu: { model: "EPYC", physicalCores: 8, logicalCores: 16, features: ["avx2", "avx512"] },
    memory: { totalBytes: 64e9, availableBytes: 60e9, swapBytes: 0 },
    limits: { memoryBytes: null, cpus: null },
    usableMemoryBytes: 60e9,
    lastLevelCacheBytes: 32e6,
    gpus: [],
  },
  native: {
    location: { directory: "/lib", origin: "package" },
    files: ["libggml-cpu-haswell.so", "libllama.v0.5.0.so"],
    probe: {
      ok: true,
      version: "0.5.0-dev",
      devices: [{ name: "CPU", description: "EPYC", type: "cpu", totalBytes: 0, freeBytes: 0 }],
      backends: ["libggml-cpu-haswell.so"],
      complaints: [],
    },
  },
  bandwidth: { bytesPerSecond: 50e9, threads: 16, bufferBytes: 1 },
  cache: { directory: "/cache", problem: null, freeBytes: 100e9 },
  models: ["smollm2-135m"],
  network: { offline: false, settings: [] },
};

const gpu = {
  vendor: "nvidia",
  name: "H200",
  totalBytes: 150e9,
  freeBytes: 149e9,
  driver: "570",
  computeCapability: "9.0",
} as const;

function checkOf(facts: Partial<MachineFacts>, id: string): Check {
  const found = judge({ ...healthy, ...facts }).find((check) => check.id === id);
  if (found === undefined) throw new Error(`no check ${id}`);
  return found;
}

test("a healthy machine has nothing to mend", () => {
  const checks = judge(healthy);
  expect(checks.map(({ status }) => status)).toEqual(checks.map(() => "ok"));
  expect(checks.map(({ mend }) => mend)).toEqual(checks.map(() => null));
});

describe("hardware", () => {
  const hardware = healthy.hardware;

  test("an old Node is a problem", () => {
    const system = { ...hardware.system, nodeVersion: "18.20.0" };
    expect(checkOf({ hardware: { ...hardware, system } }, "system")).toMatchObject({ status: "problem" });
  });

  test("a processor quota names the thread count", () => {
    const limits = { memoryBytes: null, cpus: 2.5 };
    expect(checkOf({ hardware: { ...hardware, limits } }, "cpu").mend).toContain("--threads 2");
  });

  test("little memory is noted with the limit that causes it", () => {
    const changed = {
      ...hardware,
      limits: { memoryBytes: 5e8, cpus: null },
      usableMemoryBytes: 5e8,
    };
    expect(checkOf({ hardware: changed }, "memory")).toMatchObject({
      status: "note",
      found: expect.stringContaining("limited to 500 MB"),
    });
  });

  test("a GPU that the library does not use is noted with the command", () => {
    expect(checkOf({ hardware: { ...hardware, gpus: [gpu] } }, "gpu")).toMatchObject({
      status: "note",
      mend: expect.stringContaining("--install-native cuda"),
    });
    const ascend = { ...gpu, vendor: "ascend" } as const;
    expect(checkOf({ hardware: { ...hardware, gpus: [ascend] } }, "gpu").mend).toContain("--backend cann");
  });
});

describe("the native library", () => {
  const missing = {
    location: null,
    message: "It is not installed.",
    hint: "Run it.",
    fetchable: true,
  } as const;

  test("one that serving fetches is a note, any other missing one a problem", () => {
    expect(checkOf({ native: missing }, "native").status).toBe("note");
    expect(checkOf({ native: { ...missing, fetchable: false } }, "native")).toMatchObject({
      status: "problem",
      found: "It is not installed.",
      mend: "Run it.",
    });
  });

  test("one that does not load is a problem, with the reason", () => {
    const native = {
      ...(healthy.native as Extract<MachineFacts["native"], { files: unknown }>),
      probe: { ok: false as const, message: "GLIBC_2.34 not found" },
    };
    expect(checkOf({ native }, "loading")).toMatchObject({
      status: "problem",
      found: "GLIBC_2.34 not found",
    });
  });

  test("a GPU backend that did not load is noted", () => {
    const native = {
      ...(healthy.native as Extract<MachineFacts["native"], { files: unknown }>),
      files: ["libggml-cuda.so", "libggml-cpu-haswell.so"],
    };
    expect(checkOf({ native }, "loading")).toMatchObject({
      status: "note",
      found: expect.stringContaining("libggml-cuda.so did not load"),
    });
  });
});

test("a cache directory that cannot be written is a problem, a full one a note", () => {
  const cache = healthy.cache;
  expect(checkOf({ cache: { ...cache, problem: "read-only" } }, "cache").status).toBe("problem");
  expect(checkOf({ cache: { ...cache, freeBytes: 1e6 } }, "cache").status).toBe("note");
});

test("no model is a problem only offline", () => {
  expect(checkOf({ models: [] }, "models").status).toBe("note");
  const network = { offline: true, settings: [] };
  expect(checkOf({ models: [], network }, "models").status).toBe("problem");
  expect(checkOf({ models: "The index is damaged." }, "models")).toMatchObject({
    status: "problem",
    found: "The index is damaged.",
  });
});

test("network settings show hosts, never credentials", () => {
  const env = {
    https_proxy: "http://user:secret@proxy.example:3128",
    NO_PROXY: "localhost,.corp",
    NPM_CONFIG_REGISTRY: "https://token:secret@npm.example/",
    HTTP_PROXY: "",
  };
  const pip = {
    indexUrls: ["https://a:secret@one.example/simple/", "https://two.example/simple"],
    proxy: null,
    noIndex: false,
  };
  expect(networkSettings(env, pip)).toEqual([
    { name: "package index", host: "one.example two.example" },
    { name: "HTTPS_PROXY", host: "proxy.example:3128" },
    { name: "NO_PROXY", host: "localhost,.corp" },
    { name: "NPM_CONFIG_REGISTRY", host: "npm.example" },
  ]);
  expect(networkSettings({}, { ...pip, noIndex: true })[0]?.host).toContain("none");
  expect(hostOf("user:secret@proxy:8080")).toBe("proxy:8080");
  expect(hostOf("::nonsense::")).toBe("unreadable");
});
