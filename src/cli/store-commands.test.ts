import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { createModelStore } from "../models/store.ts";
import type { ModelStore } from "../models/store.ts";
import type { CliContext } from "./context.ts";
import { runCli } from "./program.ts";
import { createPalette } from "./terminal/colors.ts";

let cacheDir: string;
let store: ModelStore;

beforeEach(async () => {
  cacheDir = mkdtempSync(join(tmpdir(), "inkstone-commands-"));
  store = createModelStore({ directory: join(cacheDir, "models") });
  const path = join(cacheDir, "new");
  writeFileSync(path, "weights");
  const sha256 = createHash("sha256").update("weights").digest("hex");
  const files = [{ path, name: "m.gguf", sha256 }];
  mkdirSync(store.partialPath(""), { recursive: true });
  await store.add({ name: "small:1.0", reference: "pypi:small==1.0", origin: "", files });
  for (const name of ["old.whl", "recent.whl"]) writeFileSync(store.partialPath(name), "part");
  utimesSync(store.partialPath("old.whl"), 5, 5);
});

afterEach(() => rmSync(cacheDir, { recursive: true, force: true }));

async function inkstone(...args: string[]): Promise<{ code: number; stdout: string }> {
  let stdout = "";
  const output = (write: (text: string) => void) => ({
    write,
    isTerminal: false,
    columns: 100,
    palette: createPalette(false, {}),
  });
  const context: CliContext = {
    stdin: Readable.from([]) as unknown as NodeJS.ReadStream,
    stdoutStream: process.stdout,
    stdout: output((text) => void (stdout += text)),
    stderr: output(() => {}),
    inputs: { env: {}, readFile: () => null, cwd: cacheDir, homeDir: cacheDir, platform: "linux" },
    now: () => Date.now(),
    onSignal: () => () => {},
    exitNow: (code) => {
      throw new Error(`exit ${code}`);
    },
  };
  return { code: await runCli([...args, "--cache-dir", cacheDir], context), stdout };
}

describe("downloads that were broken off", () => {
  const left = (name: string): boolean => existsSync(store.partialPath(name));

  test("long ago are removed by rm, which says so; younger ones can still go on", async () => {
    const { code, stdout } = await inkstone("rm", "small:1.0");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^removed small:1\.0 \(.*\)\nremoved what no model needed \(4 B freed\)\n$/);
    expect([left("old.whl"), left("recent.whl")]).toEqual([false, true]);
  });

  test("long ago are removed by pull", async () => {
    expect((await inkstone("pull", "pypi:small==1.0", "--offline")).code).toBe(0);
    expect([left("old.whl"), left("recent.whl")]).toEqual([false, true]);
  });
});
