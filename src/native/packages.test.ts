import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import {
  builtDirectory,
  currentPlatform,
  fetchedDirectory,
  isOlderVersion,
  locateNative,
  missingLibraryFiles,
  nativeLibraryFiles,
  nativePackages,
  nativeRelease,
  resolveNativeDirectory,
  selectPackage,
} from "./packages.ts";
import type { NativePackage, PlatformFacts } from "./packages.ts";

const debian: PlatformFacts = { platform: "linux", arch: "x64", glibcVersion: "2.36" };
const arm: PlatformFacts = { ...debian, arch: "arm64" };

let cacheDir: string;
beforeEach(() => {
  cacheDir = mkdtempSync(path.join(os.tmpdir(), "inkstone-native-"));
});
afterEach(() => rmSync(cacheDir, { recursive: true }));

function fill(directory: string): string {
  mkdirSync(directory, { recursive: true });
  for (const file of nativeLibraryFiles) writeFileSync(path.join(directory, file), "");
  return directory;
}

function packageOf(variant: string, arch = "x64"): NativePackage {
  const found = nativePackages.find((p) => p.variant === variant && p.arch === arch);
  if (found === undefined) throw new Error(`no ${variant} for ${arch}`);
  return found;
}

describe("the table", () => {
  test("is what package.json pins, exactly", () => {
    expect(packageJson.optionalDependencies).toEqual({
      "@node-llama-cpp/linux-x64": nativeRelease.packageVersion,
    });
  });

  test("names each package once, with a sha512", () => {
    expect(new Set(nativePackages.map(({ name }) => name)).size).toBe(nativePackages.length);
    expect(new Set(nativePackages.map(({ integrity }) => integrity)).size).toBe(nativePackages.length);
    for (const { integrity } of nativePackages) expect(integrity).toMatch(/^sha512-[\w+/]{86}==$/);
  });
});

describe("selectPackage", () => {
  test("takes the CPU library of the architecture", () => {
    expect(selectPackage(debian).name).toBe("@node-llama-cpp/linux-x64");
    expect(selectPackage(arm).name).toBe("@node-llama-cpp/linux-arm64");
    expect(selectPackage(debian, "vulkan").name).toBe("@node-llama-cpp/linux-x64-vulkan");
  });

  test.each([
    [{ platform: "darwin", arch: "arm64", glibcVersion: null }, "darwin arm64"],
    [{ platform: "linux", arch: "riscv64", glibcVersion: "2.39" }, "linux x64 and linux arm64"],
    [{ ...debian, glibcVersion: "2.28" }, "this system has 2.28"],
    [{ ...debian, glibcVersion: null }, "musl"],
  ])("refuses %o and says why", (facts, reason) => {
    expect(() => selectPackage(facts)).toThrow(
      expect.objectContaining({
        code: "native_platform_unsupported",
        message: expect.stringContaining(reason),
        hint: expect.stringContaining("--build-native"),
      }),
    );
  });

  test("refuses a GPU variant that this architecture lacks", () => {
    expect(() => selectPackage(arm, "cuda")).toThrow("There is no prebuilt cuda library for linux arm64");
  });
});

test("versions compare by their numbers", () => {
  expect(isOlderVersion("2.9", "2.34")).toBe(true);
  expect(isOlderVersion("2.34", "2.34")).toBe(false);
  expect(isOlderVersion("3", "2.34")).toBe(false);
});

test("a directory may name the libraries with or without the release", () => {
  for (const file of ["libggml-base.so", "libggml.so", "libllama.v0.5.0.so", "libggml-cpu.so"]) {
    writeFileSync(path.join(cacheDir, file), "");
  }
  expect(missingLibraryFiles(cacheDir)).toEqual([]);
  rmSync(path.join(cacheDir, "libggml.so"));
  expect(missingLibraryFiles(cacheDir)).toEqual(["libggml.v0.5.0.so"]);
  expect(missingLibraryFiles(path.join(cacheDir, "absent"))).toEqual([...nativeLibraryFiles]);
});

describe("locateNative", () => {
  test("takes a named directory", () => {
    expect(locateNative(fill(cacheDir))).toEqual({ directory: cacheDir, origin: "flag" });
  });

  test("says what a named directory lacks", () => {
    writeFileSync(path.join(cacheDir, "libggml-base.so"), "");
    expect(() => locateNative(cacheDir)).toThrow("does not hold libggml.v0.5.0.so, libllama.v0.5.0.so");
    expect(() => locateNative(path.join(cacheDir, "absent"))).toThrow("does not exist");
  });

  test.runIf(currentPlatform().platform === "linux" && process.arch === "x64")(
    "finds the npm package",
    () => {
      const { directory, origin } = locateNative(null, debian);
      expect(origin).toBe("package");
      expect(missingLibraryFiles(directory)).toEqual([]);
    },
  );

  test("names the command that fetches what npm did not install", () => {
    expect(() => locateNative(null, arm)).toThrow(
      expect.objectContaining({
        code: "native_not_found",
        message: expect.stringContaining("--install-native cpu"),
      }),
    );
  });
});

describe("resolveNativeDirectory", () => {
  const auto = (): Parameters<typeof resolveNativeDirectory>[0] => ({
    flag: null,
    cacheDir,
    variant: "auto",
  });

  test("a named directory wins over everything", () => {
    fill(builtDirectory(cacheDir));
    const named = fill(path.join(cacheDir, "mine"));
    expect(resolveNativeDirectory({ ...auto(), flag: named }, debian)).toEqual({
      directory: named,
      origin: "flag",
    });
  });

  test("then a fetched GPU library, one that was built, a fetched CPU library", () => {
    const cpu = fill(fetchedDirectory(cacheDir, packageOf("cpu", "arm64")));
    expect(resolveNativeDirectory(auto(), arm)).toEqual({ directory: cpu, origin: "fetched" });
    const built = fill(builtDirectory(cacheDir));
    expect(resolveNativeDirectory(auto(), arm)).toEqual({ directory: built, origin: "built" });
    const gpu = fill(fetchedDirectory(cacheDir, packageOf("cuda")));
    expect(resolveNativeDirectory(auto(), arm).origin).toBe("built");
    expect(resolveNativeDirectory(auto(), debian)).toEqual({ directory: gpu, origin: "fetched" });
  });

  test("an incomplete fetched directory counts as absent", () => {
    const gpu = fill(fetchedDirectory(cacheDir, packageOf("cuda")));
    rmSync(path.join(gpu, "libggml-base.so"));
    expect(() => resolveNativeDirectory({ ...auto(), variant: "cuda" }, debian)).toThrow(
      "--install-native cuda",
    );
  });

  test("a built library serves a system that no prebuilt one runs on", () => {
    const old = { ...debian, glibcVersion: "2.28" };
    expect(() => resolveNativeDirectory(auto(), old)).toThrow("has 2.28");
    const built = fill(builtDirectory(cacheDir));
    expect(resolveNativeDirectory(auto(), old).directory).toBe(built);
  });
});
