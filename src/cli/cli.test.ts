import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";

import { loadConfig } from "../config/load.ts";
import { localUrl } from "./banner.ts";
import type { CliContext } from "./context.ts";
import { toEngineConfig } from "./engine-config.ts";
import { isLoopbackHost } from "./host-safety.ts";
import { runCli } from "./program.ts";
import { createPalette } from "./terminal/colors.ts";

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function inkstone(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  const written = { stdout: "", stderr: "" };
  const output = (name: "stdout" | "stderr") => ({
    write: (text: string) => void (written[name] += text),
    isTerminal: false,
    columns: 100,
    palette: createPalette(false, {}),
  });
  const context: CliContext = {
    stdin: Readable.from([]) as unknown as NodeJS.ReadStream,
    stdoutStream: process.stdout,
    stdout: output("stdout"),
    stderr: output("stderr"),
    inputs: { env, readFile: () => null, cwd: "/here", homeDir: "/home/ada", platform: "linux" },
    now: () => 0,
    onSignal: () => () => {},
    exitNow: (code) => {
      throw new Error(`exit ${code}`);
    },
  };
  return { code: await runCli(args, context), ...written };
}

describe("the program", () => {
  test.each([[[]], [["--help"]], [["help"]]])("%j shows all commands, with examples", async (args) => {
    const { code, stdout, stderr } = await inkstone(args);
    expect(code).toBe(0);
    for (const verb of ["serve", "run", "pull", "ls", "ps", "rm", "doctor", "config", "version"]) {
      expect(stdout).toMatch(new RegExp(`^  ${verb}\\b`, "m"));
    }
    expect(stdout).toContain("Examples:");
    expect(stderr).toBe("");
  });

  test.each([
    ["serve", "--help"],
    ["help", "serve"],
  ])("%s %s shows the flags with their defaults", async (...args) => {
    const { code, stdout } = await inkstone(args);
    expect(code).toBe(0);
    for (const text of [
      "--port <N>",
      "(default: 8080)",
      "-c, --context-window",
      "-ngl",
      "--no-mmap",
      "Examples:",
    ]) {
      expect(stdout).toContain(text);
    }
    expect(stdout).not.toMatch(/^ +--max-model-len/m);
  });

  test.each([
    [["sevre"], "unknown command sevre; did you mean serve?"],
    [["sevre", "model", "--port", "1"], "unknown command sevre; did you mean serve?"],
    [["serve", "--prot", "9000"], "unknown option '--prot'; did you mean --port?"],
    [["serve", "--port"], "option '-p, --port <N>' argument missing"],
    [["ls", "--jsno"], "unknown option '--jsno'; did you mean --json?"],
    [["serve", "a", "b"], "too many arguments"],
    [["rm"], "missing required argument 'models'"],
    [["--frobnicate"], "unknown option '--frobnicate'"],
    [["help", "sevre"], "unknown command sevre; did you mean serve?"],
  ])("%j is wrong use", async (args, message) => {
    const { code, stdout, stderr } = await inkstone(args);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain(`error: ${message}`);
    expect(stderr).toContain("hint: ");
    expect(stderr).not.toContain("    at ");
  });

  test("the version, also as JSON", async () => {
    expect((await inkstone(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect((await inkstone(["version"])).stdout).toMatch(/^inkstone \d/);
    expect(JSON.parse((await inkstone(["version", "--json"])).stdout)).toMatchObject({
      node: process.versions.node,
    });
  });

  test("the stack is shown to those who ask for it", async () => {
    const { stderr } = await inkstone(["config", "--port", "x"], { INKSTONE_DEBUG: "1" });
    expect(stderr).toContain("    at ");
  });
});

describe("config", () => {
  test("shows values and where they came from", async () => {
    const { code, stdout } = await inkstone(["config", "-ngl", "7", "--no-mmap"], { INKSTONE_PORT: "9000" });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^port +9000 +INKSTONE_PORT$/m);
    expect(stdout).toMatch(/^gpu_layers +7 +--gpu-layers$/m);
    expect(stdout).toMatch(/^mmap +false +--no-mmap$/m);
    expect(stdout).toMatch(/^host +127\.0\.0\.1 +default$/m);
  });

  test("as JSON, with aliases and repeated flags", async () => {
    const { stdout } = await inkstone([
      "config",
      "m",
      "--max-model-len",
      "2048",
      "--served-model-name",
      "a",
      "--alias",
      "a",
      "--tensor-split=3,1",
      "--json",
    ]);
    expect(JSON.parse(stdout)).toMatchObject({
      file: null,
      settings: {
        model: { value: "m", origin: { kind: "argument" } },
        context_window: { value: 2048, origin: { kind: "flag", flag: "--max-model-len" } },
        served_model_name: { value: ["a"] },
        tensor_split: { value: [3, 1] },
        port: { value: 8080, origin: { kind: "default" } },
      },
    });
  });

  test("mistakes are told with what is allowed", async () => {
    const { code, stderr } = await inkstone(["config", "--port", "http"]);
    expect(code).toBe(2);
    expect(stderr).toContain(
      'error: --port: invalid value "http"; allowed: a whole number from 0 to 65535\n',
    );
  });

  test("warnings go to standard error", async () => {
    const { code, stderr } = await inkstone(["config"], { INKSTONE_DYNAMIC_PADDING: "false" });
    expect(code).toBe(0);
    expect(stderr).toContain("warning: dynamic_padding: false");
  });
});

describe("hosts", () => {
  test.each([
    ["127.0.0.1", true],
    ["127.1.2.3", true],
    ["localhost", true],
    ["::1", true],
    ["[::1]", true],
    ["0.0.0.0", false],
    ["::", false],
    ["192.168.1.2", false],
    ["127.0.0.1.example.org", false],
    ["example.org", false],
  ])("%s is this machine's own: %s", (host, expected) => {
    expect(isLoopbackHost(host)).toBe(expected);
  });

  test("serve refuses another one without a key, before anything is loaded", async () => {
    const { code, stderr } = await inkstone(["serve", "--host", "0.0.0.0"]);
    expect(code).toBe(2);
    expect(stderr).toContain("error: --host 0.0.0.0");
    expect(stderr).toContain("--api-key-file");
  });

  test.each([
    ["0.0.0.0", "http://127.0.0.1:80"],
    ["::", "http://[::1]:80"],
    ["fe80::1", "http://[fe80::1]:80"],
    ["localhost", "http://localhost:80"],
  ])("%s is reached as %s", (host, url) => {
    expect(localUrl(host, 80)).toBe(url);
  });
});

describe("the engine's configuration", () => {
  const configOf = (flags: Record<string, string>) =>
    loadConfig({ flags, env: {}, readFile: () => null, cwd: "/", homeDir: "/", platform: "linux" }).config;
  const model = { reference: "m", name: "m", paths: ["/m.gguf"], sizeBytes: 1 };

  test("carries the settings over", () => {
    const flags = { "--device": "CUDA0,CUDA1", "--threads": "4", "--kv-layout": "streams" };
    expect(toEngineConfig(configOf(flags), model, 4096, "/lib")).toMatchObject({
      modelKey: "m",
      modelPaths: ["/m.gguf"],
      devices: ["CUDA0", "CUDA1"],
      threads: 4,
      kvLayout: "streams",
      contextWindow: null,
      gpuLayers: -1,
      executor: "llama",
    });
  });

  test("a context window of 0 is all that the model was trained for", () => {
    expect(toEngineConfig(configOf({ "-c": "0" }), model, 32_768, "/lib").contextWindow).toBe(32_768);
    expect(toEngineConfig(configOf({ "-c": "512" }), model, 32_768, "/lib").contextWindow).toBe(512);
  });
});
