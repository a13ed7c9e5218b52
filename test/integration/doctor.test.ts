import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { runCommand } from "./server.ts";

interface Report {
  readonly checks: readonly { readonly id: string; readonly status: string; readonly found: string }[];
  readonly facts: {
    readonly bandwidth: { readonly bytesPerSecond: number } | null;
    readonly native: { readonly probe?: { readonly ok: boolean; readonly version?: string } };
  };
}

let home: string;
beforeAll(() => {
  home = mkdtempSync(path.join(os.tmpdir(), "inkstone-doctor-"));
});
afterAll(() => rmSync(home, { recursive: true }));

const statusOf = (report: Report, id: string): string | undefined =>
  report.checks.find((check) => check.id === id)?.status;

describe("inkstone doctor", () => {
  test("loads the library, measures the memory and changes nothing", async () => {
    const cacheDir = path.join(home, "cache");
    const { exitCode, stdout } = await runCommand(["doctor", "--json"], {
      env: { INKSTONE_CACHE_DIR: cacheDir, HTTPS_PROXY: "http://user:secret@proxy.example:3128" },
    });
    const report = JSON.parse(stdout) as Report;
    expect(exitCode).toBe(0);
    expect(report.facts.native.probe).toMatchObject({ ok: true, version: expect.stringContaining("0.5.0") });
    expect(report.facts.bandwidth?.bytesPerSecond).toBeGreaterThan(1e8);
    expect(statusOf(report, "loading")).toBe("ok");
    expect(stdout).toContain("proxy.example:3128");
    expect(stdout).not.toContain("secret");
  });

  test("a cache directory that cannot be made ends it with status 3 and says what to do", async () => {
    const file = path.join(home, "file");
    writeFileSync(file, "");
    const { exitCode, stdout, stderr } = await runCommand(["doctor"], {
      env: { INKSTONE_CACHE_DIR: path.join(file, "cache") },
    });
    expect(exitCode).toBe(3);
    expect(stdout).toMatch(/problem +Cache directory .*not a directory/);
    expect(stdout).toContain("INKSTONE_CACHE_DIR");
    expect(stderr).toContain("Cache directory");
  });

  test("a library that is none is a problem, not a crash", async () => {
    const broken = mkdtempSync(path.join(home, "broken-"));
    for (const name of ["libggml-base.so", "libggml.so", "libllama.so"]) {
      writeFileSync(path.join(broken, name), "not a library");
    }
    const { exitCode, stdout } = await runCommand(["doctor", "--json", "--native-directory", broken], {
      env: { INKSTONE_CACHE_DIR: path.join(home, "cache") },
    });
    expect(exitCode).toBe(3);
    expect(statusOf(JSON.parse(stdout) as Report, "loading")).toBe("problem");
  });

  test.each([
    [["--backend", "cuda"], "--build-native"],
    [["--install-native", "metal"], "metal"],
    [["--build-native", "--jobs", "0"], "at least 1"],
    [["--build-native", "--install-native"], "cannot be used with"],
  ])("refuses %j", async (args, message) => {
    const { exitCode, stderr } = await runCommand(["doctor", ...args]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
  });

  test("fetches nothing offline", async () => {
    const { exitCode, stderr } = await runCommand(["doctor", "--install-native", "vulkan", "--offline"]);
    expect(exitCode).toBe(3);
    expect(stderr).toContain("offline");
  });
});
