/** What `inkstone doctor` judges: facts in, checks out. Nothing here touches the machine. */
import type { Bandwidth } from "../native/memory-bandwidth.ts";
import type { CpuFeature } from "../native/hardware-cpu.ts";
import type { Gpu } from "../native/hardware-gpu.ts";
import type { Hardware } from "../native/hardware.ts";
import type { PipSettings } from "../config/pip.ts";
import { isOlderVersion, nativeRelease } from "../native/packages.ts";
import type { NativeLocation } from "../native/packages.ts";
import type { NativeProbe } from "../native/probe.ts";
import { formatBytes } from "./terminal/format.ts";

/** "note" is worth knowing, "problem" keeps Inkstone from serving. */
export type CheckStatus = "ok" | "note" | "problem";

/** One line of the report. */
export interface Check {
  readonly id: string;
  readonly title: string;
  readonly status: CheckStatus;
  readonly found: string;
  /** What to do; null where nothing is needed. */
  readonly mend: string | null;
}

/** Everything that was found out about the machine. */
export interface MachineFacts {
  readonly hardware: Hardware;
  readonly native:
    | {
        readonly location: NativeLocation;
        /** Names of the files in its directory. */
        readonly files: readonly string[];
        readonly probe: NativeProbe;
      }
    | {
        readonly location: null;
        readonly message: string;
        readonly hint: string;
        /** Serving fetches it by itself. */
        readonly fetchable: boolean;
      };
  /** null where measuring failed. */
  readonly bandwidth: Bandwidth | null;
  readonly cache: {
    readonly directory: string;
    /** Why it cannot be written; null when it can. */
    readonly problem: string | null;
    readonly freeBytes: number | null;
  };
  /** Names of the models that are here; a sentence where the store cannot be read. */
  readonly models: readonly string[] | string;
  readonly network: { readonly offline: boolean; readonly settings: readonly NetworkSetting[] };
}

/** A setting that steers downloads, with the host only: addresses may hold passwords. */
export interface NetworkSetting {
  readonly name: string;
  readonly host: string;
}

const oldestNode = "20.19.0";

/** The report, in reading order. */
export function judge(facts: MachineFacts): Check[] {
  return [
    checkSystem(facts.hardware),
    checkProcessor(facts.hardware),
    checkMemory(facts.hardware),
    checkBandwidth(facts.bandwidth),
    checkGpus(facts),
    checkNative(facts),
    ...(facts.native.location === null ? [] : [checkLoading(facts.native.files, facts.native.probe)]),
    checkCache(facts),
    checkModels(facts),
    checkNetwork(facts),
  ];
}

const check = (
  id: string,
  title: string,
  found: string,
  status: CheckStatus = "ok",
  mend: string | null = null,
): Check => ({ id, title, status, found, mend });

function checkSystem({ system, platform }: Hardware): Check {
  const libc = platform.platform === "linux" ? `, glibc ${platform.glibcVersion ?? "none"}` : "";
  const found = `${system.name} (${system.kernel}, ${platform.arch}${libc}), Node ${system.nodeVersion}`;
  if (isOlderVersion(system.nodeVersion, oldestNode)) {
    return check("system", "System", found, "problem", `Install Node ${oldestNode} or later.`);
  }
  return check("system", "System", found);
}

const featureLabels: Partial<Record<CpuFeature, string>> = {
  avx2: "AVX2",
  avx_vnni: "AVX-VNNI",
  avx512: "AVX-512",
  avx512_vnni: "AVX-512 VNNI",
  avx512_bf16: "AVX-512 BF16",
  amx_int8: "AMX INT8",
  amx_bf16: "AMX BF16",
  neon: "NEON",
  dotprod: "dot product",
  i8mm: "int8 matrix product",
  sve: "SVE",
  sve2: "SVE2",
  sme: "SME",
};

function checkProcessor({ cpu, platform, limits }: Hardware): Check {
  const cores =
    cpu.physicalCores === null || cpu.physicalCores === cpu.logicalCores
      ? `${cpu.logicalCores} cores`
      : `${cpu.physicalCores} cores, ${cpu.logicalCores} threads usable`;
  const labels = cpu.features.flatMap((feature) => featureLabels[feature] ?? []);
  const limit =
    limits.cpus === null ? "" : `; limited to ${round(limits.cpus)} processors by its control group`;
  const found = `${cpu.model}, ${cores}${labels.length > 0 ? `: ${labels.join(", ")}` : ""}${limit}`;
  if (platform.arch === "x64" && !cpu.features.includes("avx2")) {
    return check(
      "cpu",
      "Processor",
      found,
      "note",
      "Without AVX2 a model answers slowly: use a newer machine.",
    );
  }
  if (limits.cpus !== null && limits.cpus < cpu.logicalCores) {
    const threads = Math.max(1, Math.floor(limits.cpus));
    return check(
      "cpu",
      "Processor",
      found,
      "note",
      `Serve with --threads ${threads}, or allow the container more processors.`,
    );
  }
  return check("cpu", "Processor", found);
}

function checkMemory({ memory, limits, usableMemoryBytes }: Hardware): Check {
  const limit =
    limits.memoryBytes === null ? "" : `; limited to ${formatBytes(limits.memoryBytes)} by its control group`;
  const found = `${formatBytes(memory.availableBytes)} of ${formatBytes(memory.totalBytes)} available${limit}`;
  if (usableMemoryBytes < 1e9) {
    return check(
      "memory",
      "Memory",
      found,
      "note",
      "Less than 1 GB is usable: end other programs, or serve with a small --context-window and --max-num-seqs.",
    );
  }
  return check("memory", "Memory", found);
}

function checkBandwidth(bandwidth: Bandwidth | null): Check {
  if (bandwidth === null) return check("bandwidth", "Bandwidth", "could not be measured", "note");
  const { bytesPerSecond, threads } = bandwidth;
  const perGigabyte = bytesPerSecond / 1e9;
  return check(
    "bandwidth",
    "Bandwidth",
    `${formatBytes(bytesPerSecond)}/s read by ${threads} ${threads === 1 ? "thread" : "threads"}: one stream decodes at most ` +
      `${round(perGigabyte)} tokens/s for a model of 1 GB on the CPU`,
  );
}

function checkGpus({ hardware, native }: MachineFacts): Check {
  const { gpus } = hardware;
  if (gpus.length === 0) return check("gpu", "Accelerators", "none found by nvidia-smi, rocm-smi or npu-smi");
  const found = gpus.map(describeGpu).join("; ");
  const loaded =
    native.location !== null && native.probe.ok ? native.probe.devices.map(({ type }) => type) : [];
  if (loaded.some((type) => type !== "cpu")) return check("gpu", "Accelerators", found);
  return check("gpu", "Accelerators", found, "note", gpuAdvice(gpus[0]));
}

function describeGpu({ name, totalBytes, freeBytes, driver }: Gpu): string {
  const memory =
    totalBytes === null
      ? ""
      : freeBytes === null
        ? `, ${formatBytes(totalBytes)}`
        : `, ${formatBytes(freeBytes)} of ${formatBytes(totalBytes)} free`;
  return `${name}${memory}${driver === null ? "" : `, driver ${driver}`}`;
}

function gpuAdvice(gpu: Gpu | undefined): string {
  const start = "The library in use computes on the CPU only: run";
  if (gpu?.vendor === "nvidia") {
    return `${start} \`inkstone doctor --install-native cuda\` (with CUDA 12 instead of 13: cuda-ext).`;
  }
  if (gpu?.vendor === "ascend") return `${start} \`inkstone doctor --build-native --backend cann\`.`;
  return `${start} \`inkstone doctor --install-native vulkan\`, or --build-native --backend hip.`;
}

const origins: Readonly<Record<NativeLocation["origin"], string>> = {
  flag: "named by native_directory",
  fetched: "fetched by --install-native",
  built: "built here from source",
  package: `the npm package of ${nativeRelease.packageVersion}`,
};

function checkNative({ native }: MachineFacts): Check {
  if (native.location !== null) {
    return check(
      "native",
      "Native library",
      `${native.location.directory} (${origins[native.location.origin]})`,
    );
  }
  if (native.fetchable) {
    return check("native", "Native library", `${native.message} The first serve fetches it.`, "note");
  }
  return check("native", "Native library", native.message, "problem", native.hint);
}

function checkLoading(files: readonly string[], probe: NativeProbe): Check {
  if (!probe.ok) {
    return check(
      "loading",
      "Loading it",
      probe.message,
      "problem",
      "Install it again, or run `inkstone doctor --build-native`.",
    );
  }
  const devices = probe.devices.map(({ name, description }) =>
    description === "" || description === name ? name : `${name} (${description})`,
  );
  const backends = probe.backends.map((file) => file.replace(/^lib/, "").replace(/\.so$/, ""));
  const found =
    `llama.cpp ${probe.version}, devices ${devices.join(", ")}` +
    (backends.length === 0 ? "" : `, through ${backends.join(", ")}`);
  const unused = files.filter(
    (file) =>
      /^libggml-(cuda|vulkan|hip|cann|sycl|musa|opencl)\.so$/.test(file) && !probe.backends.includes(file),
  );
  if (unused.length > 0 && probe.backends.length > 0) {
    return check(
      "loading",
      "Loading it",
      `${found}; ${unused.join(", ")} did not load`,
      "note",
      `Its driver or runtime is missing: \`ldd\` on the file shows which (cuda needs the CUDA 13 runtime, cuda-ext CUDA 12, vulkan libvulkan.so.1).`,
    );
  }
  return check("loading", "Loading it", found);
}

function checkCache({ cache }: MachineFacts): Check {
  const free = cache.freeBytes === null ? "" : `, ${formatBytes(cache.freeBytes)} free`;
  const found = `${cache.directory}${free}`;
  if (cache.problem !== null) {
    return check(
      "cache",
      "Cache directory",
      `${cache.directory}: ${cache.problem}`,
      "problem",
      "Make it writable, or set INKSTONE_CACHE_DIR to another directory.",
    );
  }
  if (cache.freeBytes !== null && cache.freeBytes < 1e9) {
    return check(
      "cache",
      "Cache directory",
      found,
      "note",
      "Less than 1 GB is free: remove models with `inkstone rm`, or set INKSTONE_CACHE_DIR to a larger disk.",
    );
  }
  return check("cache", "Cache directory", found);
}

function checkModels({ models, network }: MachineFacts): Check {
  if (typeof models === "string") {
    return check("models", "Models", models, "problem", "Make the cache directory readable.");
  }
  if (models.length > 0) return check("models", "Models", models.join(", "));
  return network.offline
    ? check(
        "models",
        "Models",
        "none here",
        "problem",
        "Fetch one on a connected machine, or serve a path to a .gguf file.",
      )
    : check("models", "Models", "none here yet: the first serve fetches the default one", "note");
}

function checkNetwork({ network }: MachineFacts): Check {
  const settings = network.settings.map(({ name, host }) => `${name}: ${host}`);
  const parts = [...(network.offline ? ["offline"] : []), ...settings];
  return check("network", "Network", parts.join("; "));
}

const proxyNames = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"];

/** What steers downloads: pip's indexes and proxy, the proxy variables (in either case), npm's registry. */
export function networkSettings(
  env: Readonly<Record<string, string | undefined>>,
  pip: Pick<PipSettings, "indexUrls" | "proxy" | "noIndex">,
): NetworkSetting[] {
  const variable = (name: string): string | null => env[name] || env[name.toLowerCase()] || null;
  const proxies = proxyNames.flatMap((name) => {
    const value = variable(name);
    if (value === null) return [];
    return [{ name, host: name === "NO_PROXY" ? value : hostOf(value) }];
  });
  const registry = variable("NPM_CONFIG_REGISTRY");
  return [
    {
      name: "package index",
      host: pip.noIndex ? "none (pip's no-index)" : pip.indexUrls.map(hostOf).join(" "),
    },
    ...(pip.proxy === null ? [] : [{ name: "pip's proxy", host: hostOf(pip.proxy) }]),
    ...proxies,
    ...(registry === null ? [] : [{ name: "NPM_CONFIG_REGISTRY", host: hostOf(registry) }]),
  ];
}

/** The host and port of an address; "unreadable" for text that is none. */
export function hostOf(address: string): string {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(address) ? address : `http://${address}`;
  return URL.canParse(text) ? new URL(text).host : "unreadable";
}

function round(value: number): string {
  return value >= 10 ? value.toFixed(0) : value.toFixed(1);
}
