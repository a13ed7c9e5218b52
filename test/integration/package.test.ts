/** The packed tarball, as a stranger installs it: what it holds, and that it serves. */
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import packageJson from "../../package.json" with { type: "json" };
import { ensureModel, freePort, runCommand, testModel } from "./server.ts";

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, "../..");

let temporary: string;
let project: string;
let packed: { readonly filename: string; readonly size: number; readonly files: { readonly path: string }[] };
let cacheDir: string;

beforeAll(async () => {
  temporary = mkdtempSync(path.join(os.tmpdir(), "inkstone-package-"));
  project = path.join(temporary, "project");
  mkdirSync(project);
  const { stdout } = await run(
    "npm",
    ["pack", "--json", "--ignore-scripts", "--pack-destination", temporary],
    { cwd: root },
  );
  const answer = JSON.parse(stdout) as Record<string, typeof packed> | (typeof packed)[];
  packed = Object.values(answer)[0] as typeof packed;
  await run(
    "npm",
    ["install", "--prefer-offline", "--no-audit", "--no-fund", path.join(temporary, packed.filename)],
    { cwd: project },
  );
  await ensureModel();
  const { stdout: shown } = await runCommand(["config", "--json"]);
  cacheDir = (JSON.parse(shown) as { settings: { cache_dir: { value: string } } }).settings.cache_dir.value;
}, 600_000);
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

describe("the tarball", () => {
  test("holds the built command and the papers, no source, tests or benchmarks", () => {
    const files = packed.files.map((file) => file.path);
    const strange = files.filter(
      (file) =>
        !/^(dist\/.*\.js|package\.json|LICENSE|README(\.zh-CN)?\.md|CHANGELOG\.md|CONTRIBUTING\.md|docs\/[\w.-]+\.md)$/.test(
          file,
        ),
    );
    expect(strange).toEqual([]);
    expect(files).toContain("dist/cli/main.js");
    for (const readme of ["README.md", "README.zh-CN.md"]) {
      const links = readFileSync(path.join(root, readme), "utf8").matchAll(/\]\(([\w./-]+\.md)\)/g);
      for (const [, file] of links) expect(files).toContain(file);
    }
    expect(files.filter((file) => /\.(test|case)\.|\/testing\/|^benchmarks\//.test(file))).toEqual([]);
    expect(packed.size).toBeLessThan(1_000_000);
  });

  test("installs one native CPU package and runs no build", () => {
    const installed = path.join(project, "node_modules");
    if (process.platform === "linux" && process.arch === "x64") {
      expect(readdirSync(path.join(installed, "@node-llama-cpp"))).toEqual(["linux-x64"]);
    }
    expect(existsSync(path.join(installed, "typescript"))).toBe(false);
    expect(existsSync(path.join(installed, "vitest"))).toBe(false);
  });

  test("its command says its version", async () => {
    const { stdout } = await run("npx", ["--no-install", "inkstone", "--version"], { cwd: project });
    expect(stdout.trim()).toBe(packageJson.version);
  });

  test("its command serves, with an empty home", async () => {
    const port = await freePort();
    const home = path.join(temporary, "home");
    mkdirSync(home);
    const entry = path.join(project, "node_modules", ".bin", "inkstone");
    const server = spawn(entry, ["serve", testModel, "--port", String(port)], {
      cwd: project,
      env: { PATH: process.env["PATH"], HOME: home, INKSTONE_CACHE_DIR: cacheDir },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let log = "";
    server.stderr.on("data", (chunk: Buffer) => (log += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => server.once("exit", resolve));
    try {
      await expect
        .poll(
          async () => {
            if (server.exitCode !== null) throw new Error(log);
            return fetch(`http://127.0.0.1:${port}/health`).then(
              ({ status }) => status,
              () => 0,
            );
          },
          { timeout: 100_000, interval: 200 },
        )
        .toBe(200);
      const response = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          model: await firstModel(port),
          prompt: "The capital of France is",
          max_tokens: 4,
        }),
      });
      expect(await response.json()).toMatchObject({ choices: [{ text: expect.stringMatching(/\S/) }] });
      server.kill("SIGTERM");
      expect(await ended).toBe(0);
    } finally {
      server.kill("SIGKILL");
    }
  });
});

async function firstModel(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/models`);
  const { data } = (await response.json()) as { readonly data: readonly { readonly id: string }[] };
  return data[0]?.id ?? "";
}
