import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ensureNative, extractTarball, fetchTarball, inStaging, putInPlace } from "./install.ts";
import type { Run } from "./install.ts";
import { fetchedDirectory, nativeLibraryFiles, nativePackages } from "./packages.ts";
import { runCommand } from "./run-command.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), "inkstone-install-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** An npm that "packs" a file of this content, or fails with this text. */
function fakeNpm(outcome: { readonly content: string } | { readonly stderr: string }): Run {
  return async (command, args, options) => {
    if (command !== "npm") return runCommand(command, args, options);
    const destination = args[args.indexOf("--pack-destination") + 1] ?? "";
    if ("stderr" in outcome) return { status: 1, stdout: "", stderr: outcome.stderr, failure: null };
    writeFileSync(path.join(destination, "a-1.tgz"), outcome.content);
    return { status: 0, stdout: "a-1.tgz\n", stderr: "", failure: null };
  };
}

describe("fetchTarball", () => {
  const content = "tarball";
  const integrity = `sha512-${createHash("sha512").update(content).digest("base64")}`;

  test("gives a file of the pinned integrity", async () => {
    const file = await fetchTarball({ name: "a", integrity }, directory, { run: fakeNpm({ content }) });
    expect(readFileSync(file, "utf8")).toBe(content);
  });

  test("refuses any other file", async () => {
    const run = fakeNpm({ content: "something else" });
    await expect(fetchTarball({ name: "a", integrity }, directory, { run })).rejects.toMatchObject({
      code: "checksum_mismatch",
    });
  });

  test.each([
    [
      "npm error code E404\nnpm error 404 Not Found\nnpm error A complete log is in x",
      "download_failed",
      "404",
    ],
    ["npm error code ENOSPC", "disk_full", "No space"],
    ["", "download_failed", "status 1"],
  ])("says what npm said: %j", async (stderr, code, message) => {
    const run = fakeNpm({ stderr });
    await expect(fetchTarball({ name: "a", integrity }, directory, { run })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  test("without npm says that it is missing", async () => {
    const run: Run = async () => ({ status: null, stdout: "", stderr: "", failure: "not-found" });
    await expect(fetchTarball({ name: "a", integrity }, directory, { run })).rejects.toThrow(
      "npm is not installed",
    );
  });
});

describe("putting in place", () => {
  test("staging is removed, also after a failure", async () => {
    await expect(
      inStaging(directory, async (staging) => {
        writeFileSync(path.join(staging, "half"), "");
        throw new Error("broken off");
      }),
    ).rejects.toThrow("broken off");
    expect(readdirSync(path.join(directory, "native"))).toEqual([]);
  });

  test("a cache directory that cannot be made is named", async () => {
    const file = path.join(directory, "file");
    writeFileSync(file, "");
    await expect(inStaging(file, async () => {})).rejects.toMatchObject({ code: "cache_not_writable" });
  });

  test("the one that was first stays, an incomplete one gives way, a build replaces", async () => {
    const fill = (name: string, text: string): string => {
      const target = path.join(directory, name);
      mkdirSync(target);
      for (const file of nativeLibraryFiles) writeFileSync(path.join(target, file), text);
      return target;
    };
    const read = (target: string): string => readFileSync(path.join(target, "libggml-base.so"), "utf8");
    const target = fill("target", "first");
    await putInPlace(fill("second", "second"), target);
    expect(read(target)).toBe("first");
    await putInPlace(fill("build", "build"), target, true);
    expect(read(target)).toBe("build");
    rmSync(path.join(target, "libllama.v0.5.0.so"));
    await putInPlace(fill("third", "third"), target);
    expect(read(target)).toBe("third");
  });
});

test("extractTarball takes only the members that are named", async () => {
  mkdirSync(path.join(directory, "package", "bins"), { recursive: true });
  for (const file of ["bins/a", "b"]) writeFileSync(path.join(directory, "package", file), file);
  execFileSync("tar", ["-czf", "x.tgz", "package"], { cwd: directory });
  const out = path.join(directory, "out");
  mkdirSync(out);
  await extractTarball(path.join(directory, "x.tgz"), out, ["package/bins"]);
  expect(existsSync(path.join(out, "package", "bins", "a"))).toBe(true);
  expect(existsSync(path.join(out, "package", "b"))).toBe(false);
  await expect(extractTarball(path.join(directory, "none.tgz"), out, [])).rejects.toThrow("tar could not");
});

describe("ensureNative", () => {
  const facts = { platform: "linux", arch: "arm64", glibcVersion: "2.36" };
  const options = { flag: null, variant: "auto" as const, facts };

  test("fetches nothing offline, nor beside a named directory", async () => {
    const run: Run = async () => {
      throw new Error("npm must not be called");
    };
    const offline = { ...options, cacheDir: directory, offline: true, run };
    await expect(ensureNative(offline)).rejects.toMatchObject({ code: "native_not_found" });
    const named = { ...options, cacheDir: directory, flag: directory, run };
    await expect(ensureNative(named)).rejects.toMatchObject({ code: "native_not_found" });
  });

  test("asks npm for the CPU package of the platform when it is not here", async () => {
    const asked: string[] = [];
    const run: Run = async (_command, args) => {
      asked.push(args[1] ?? "");
      return { status: 1, stdout: "", stderr: "npm error no network", failure: null };
    };
    await expect(ensureNative({ ...options, cacheDir: directory, run })).rejects.toMatchObject({
      code: "download_failed",
    });
    expect(asked).toEqual(["@node-llama-cpp/linux-arm64@3.22.1"]);
  });

  test("takes what was fetched before", async () => {
    const cpu = nativePackages.find(({ variant, arch }) => variant === "cpu" && arch === "arm64");
    const target = fetchedDirectory(directory, cpu as (typeof nativePackages)[number]);
    mkdirSync(target, { recursive: true });
    for (const file of nativeLibraryFiles) writeFileSync(path.join(target, file), "");
    expect(await ensureNative({ ...options, cacheDir: directory })).toEqual({
      directory: target,
      origin: "fetched",
    });
  });
});
