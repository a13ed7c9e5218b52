import { describe, expect, test } from "vitest";
import { cmakeArguments, cpuOptions, flagsToProbe, parseBuildBackends } from "./build-options.ts";
import { findBuildTools, installAdvice } from "./build-tools.ts";
import { createPercentReader } from "./build.ts";
import type { Run } from "./install.ts";

describe("cpuOptions", () => {
  const base = { arch: "x64", features: ["avx2", "avx512_bf16"] as const, allCpus: false };

  test("names every feature, on where the processor and the compiler both have it", () => {
    const options = cpuOptions({ ...base, supports: (flags) => !flags.includes("-mavx512bf16") });
    expect(options).toContain("-DGGML_AVX2=ON");
    expect(options).toContain("-DGGML_AVX512_BF16=OFF");
    expect(options).toContain("-DGGML_AVX=OFF");
    expect(options.join(" ")).not.toContain("GGML_NATIVE");
  });

  test("probes only what the processor has", () => {
    expect(flagsToProbe(base.features)).toEqual([["-mavx2"], ["-mavx512bf16"]]);
  });

  test("other architectures and portable builds", () => {
    const supports = (): boolean => true;
    expect(cpuOptions({ ...base, arch: "arm64", supports })).toEqual(["-DGGML_CPU_ARM_ARCH=native"]);
    expect(cpuOptions({ ...base, arch: "riscv64", supports })).toEqual([]);
    expect(cpuOptions({ ...base, allCpus: true, supports })).toEqual(["-DGGML_CPU_ALL_VARIANTS=ON"]);
  });
});

test("cmakeArguments builds libraries that find each other beside themselves", () => {
  const common = { source: "s", build: "b", ninja: true, cpu: ["-Dc"], backends: ["cann"] as const };
  const args = cmakeArguments({ ...common, platform: "linux" });
  for (const wanted of [
    "Ninja",
    "-DBUILD_SHARED_LIBS=ON",
    "-DCMAKE_INSTALL_RPATH=$ORIGIN",
    "-Dc",
    "-DGGML_CANN=ON",
  ]) {
    expect(args).toContain(wanted);
  }
  expect(cmakeArguments({ ...common, platform: "darwin" })).toContain("-DCMAKE_INSTALL_RPATH=@loader_path");
});

test("parseBuildBackends takes lists and refuses unknown names", () => {
  expect(parseBuildBackends(["cuda,Vulkan", " hip "])).toEqual(["cuda", "vulkan", "hip"]);
  expect(() => parseBuildBackends(["cudda"])).toThrow('"cudda" is not a backend');
});

describe("findBuildTools", () => {
  /** A machine with these programs, by what they say to --version. */
  const machine =
    (programs: Record<string, string>): Run =>
    async (command) => {
      const stdout = programs[command];
      return stdout === undefined
        ? { status: null, stdout: "", stderr: "", failure: "not-found" }
        : { status: 0, stdout, stderr: "", failure: null };
    };
  const whole = {
    cmake: "cmake version 3.25.1",
    git: "git version 2.39",
    tar: "tar (GNU tar) 1.34",
    ninja: "1.11",
    "c++": "c++ (Debian 12.2.0-14) 12.2.0\nCopyright",
  };
  const debian = (): string => 'ID=debian\nVERSION_ID="12"\n';

  test("finds what is there", async () => {
    expect(await findBuildTools(debian, machine(whole))).toEqual({
      compiler: "c++",
      compilerVersion: "12.2.0",
      cmakeVersion: "3.25.1",
      ninja: true,
    });
  });

  test("names all that is missing, and the command that installs it", async () => {
    await expect(findBuildTools(debian, machine({ git: "git version 2" }))).rejects.toMatchObject({
      code: "native_build_failed",
      message: expect.stringMatching(/not installed: cmake, tar, make, a C\+\+ compiler\. Run `apt-get/),
    });
  });

  test("refuses tools that are too old", async () => {
    const old = { ...whole, cmake: "cmake version 3.9.2", "c++": "c++ (GCC) 8.5.0 20210514" };
    await expect(findBuildTools(debian, machine(old))).rejects.toThrow(
      /cmake 3\.9\.2 is older than 3\.14; c\+\+ 8\.5\.0 is older than 9\.1/,
    );
  });
});

test.each([
  ['ID="rocky"\nID_LIKE="rhel centos fedora"', "gcc-toolset"],
  ['ID="kylin"', "dnf install"],
  ['ID="openEuler"', "dnf install"],
  ["ID=ubuntu\nID_LIKE=debian", "apt-get"],
  ["ID=alpine", "apk add"],
])("installAdvice for %j", (osRelease, command) => {
  expect(installAdvice(osRelease)).toContain(command);
});

test("createPercentReader gives each percent of ninja and make once", () => {
  const read = createPercentReader();
  const lines = ["[1/200] CC", "[2/200] CC", "[ 1%] x", "[ 50%] Building", "note [99%]", "[200/200] Linking"];
  expect(lines.map(read)).toEqual([0, 1, null, 50, null, 100]);
});
