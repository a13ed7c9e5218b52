/** What cmake is told when the native library is built: pure functions. */
import { InkstoneError } from "../errors.ts";
import type { CpuFeature } from "./hardware-cpu.ts";

/** Accelerators that the source can be built for, beside the CPU; the toolkit of each must be installed. */
export const buildBackends = [
  "cuda",
  "vulkan",
  "hip",
  "cann",
  "musa",
  "sycl",
  "opencl",
  "openvino",
  "blas",
] as const;
export type BuildBackend = (typeof buildBackends)[number];

/** Reads the names that a user gave; throws `unknown_option` for one that does not exist. */
export function parseBuildBackends(names: readonly string[]): BuildBackend[] {
  return names
    .flatMap((name) => name.split(","))
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "")
    .map((name) => {
      const found = buildBackends.find((backend) => backend === name);
      if (found === undefined) {
        throw new InkstoneError(
          "unknown_option",
          `"${name}" is not a backend; there are ${buildBackends.join(", ")}.`,
          {
            param: "backend",
          },
        );
      }
      return found;
    });
}

/** For each feature: cmake's switch, and the flags that the compiler must know for it. */
const featureSwitches: Partial<
  Record<CpuFeature, { readonly option: string; readonly flags: readonly string[] }>
> = {
  sse4_2: { option: "GGML_SSE42", flags: ["-msse4.2"] },
  avx: { option: "GGML_AVX", flags: ["-mavx"] },
  f16c: { option: "GGML_F16C", flags: ["-mf16c"] },
  fma: { option: "GGML_FMA", flags: ["-mfma"] },
  avx2: { option: "GGML_AVX2", flags: ["-mavx2"] },
  bmi2: { option: "GGML_BMI2", flags: ["-mbmi2"] },
  avx_vnni: { option: "GGML_AVX_VNNI", flags: ["-mavxvnni"] },
  avx512: {
    option: "GGML_AVX512",
    flags: ["-mavx512f", "-mavx512cd", "-mavx512vl", "-mavx512dq", "-mavx512bw"],
  },
  avx512_vbmi: { option: "GGML_AVX512_VBMI", flags: ["-mavx512vbmi"] },
  avx512_vnni: { option: "GGML_AVX512_VNNI", flags: ["-mavx512vnni"] },
  avx512_bf16: { option: "GGML_AVX512_BF16", flags: ["-mavx512bf16"] },
  amx_tile: { option: "GGML_AMX_TILE", flags: ["-mamx-tile"] },
  amx_int8: { option: "GGML_AMX_INT8", flags: ["-mamx-int8"] },
  amx_bf16: { option: "GGML_AMX_BF16", flags: ["-mamx-bf16"] },
};

/** Compiler flags to try before `cpuOptions`, one group for each feature that the processor has. */
export function flagsToProbe(features: readonly CpuFeature[]): (readonly string[])[] {
  return features.flatMap((feature) => {
    const found = featureSwitches[feature];
    return found === undefined ? [] : [found.flags];
  });
}

export interface CpuOptionsInput {
  /** As in process.arch. */
  readonly arch: string;
  readonly features: readonly CpuFeature[];
  /** Does the compiler know these flags? */
  readonly supports: (flags: readonly string[]) => boolean;
  /** Build one backend for every known microarchitecture, instead of one for this machine. */
  readonly allCpus: boolean;
}

/**
 * cmake's options for the CPU backend. `GGML_NATIVE` cannot be combined with backends as modules, so this machine's features are named one by one.
 */
export function cpuOptions(input: CpuOptionsInput): string[] {
  if (input.allCpus) return ["-DGGML_CPU_ALL_VARIANTS=ON"];
  if (input.arch === "arm64") return ["-DGGML_CPU_ARM_ARCH=native"];
  if (input.arch !== "x64") return [];
  return Object.entries(featureSwitches).map(([feature, { option, flags }]) => {
    const present = input.features.some((name) => name === feature) && input.supports(flags);
    return `-D${option}=${present ? "ON" : "OFF"}`;
  });
}

/** cmake's arguments for the whole build. */
export function cmakeArguments(options: {
  readonly source: string;
  readonly build: string;
  /** As in process.platform. */
  readonly platform: string;
  readonly ninja: boolean;
  readonly cpu: readonly string[];
  readonly backends: readonly BuildBackend[];
}): string[] {
  const off = [
    "GGML_NATIVE",
    "GGML_OPENMP",
    "GGML_CCACHE",
    "LLAMA_CURL",
    "LLAMA_OPENSSL",
    "LLAMA_BUILD_COMMON",
    "LLAMA_BUILD_TESTS",
    "LLAMA_BUILD_TOOLS",
    "LLAMA_BUILD_EXAMPLES",
    "LLAMA_BUILD_SERVER",
    "LLAMA_BUILD_APP",
  ];
  return [
    "-S",
    options.source,
    "-B",
    options.build,
    ...(options.ninja ? ["-G", "Ninja"] : []),
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=ON",
    "-DGGML_BACKEND_DL=ON",
    "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
    `-DCMAKE_INSTALL_RPATH=${options.platform === "darwin" ? "@loader_path" : "$ORIGIN"}`,
    ...off.map((name) => `-D${name}=OFF`),
    ...options.cpu,
    ...options.backends.map((backend) => `-DGGML_${backend.toUpperCase()}=ON`),
  ];
}
