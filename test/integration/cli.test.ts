/** The built command as its users run it, without a model. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { runCommand } from "./server.ts";
import type { CommandOptions, CommandResult } from "./server.ts";

const entry = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
let home = "";

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "inkstone-cli-"));
});

afterAll(() => {
  rmSync(home, { recursive: true, force: true });
});

/** Runs in an empty home, so that no configuration of the machine takes part. */
async function inkstone(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const env = { HOME: home, XDG_CACHE_HOME: "", XDG_CONFIG_HOME: "", INKSTONE_CACHE_DIR: "", ...options.env };
  return runCommand(args, { cwd: home, ...options, env });
}

function write(name: string, content: string | Uint8Array): string {
  const path = join(home, name);
  writeFileSync(path, content);
  return path;
}

/** Every failure looks like this: what happened, what to do, no stack, nothing on standard output. */
function expectFailure({ exitCode, stdout, stderr }: CommandResult, code: number, message: RegExp): void {
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^error: /m);
  expect(stderr).toMatch(/^hint: /m);
  expect(stderr).not.toMatch(/^ +at /m);
  expect(stderr).not.toContain("\u001b[");
  expect(stdout).toBe("");
  expect(exitCode).toBe(code);
}

/** The first bytes of a GGUF: magic, version, number of tensors and of metadata entries. */
function ggufStart(version: number, nTensors: number, nMetadata: number): Uint8Array {
  const bytes = Buffer.alloc(24);
  bytes.write("GGUF");
  bytes.writeUInt32LE(version, 4);
  bytes.writeBigUInt64LE(BigInt(nTensors), 8);
  bytes.writeBigUInt64LE(BigInt(nMetadata), 16);
  return bytes;
}

describe("help and mistakes", () => {
  test("--help and every command's --help end with 0", async () => {
    const help = await inkstone(["--help"]);
    expect(help.exitCode).toBe(0);
    const verbs = ["serve", "run", "pull", "ls", "ps", "rm", "doctor", "config", "version"];
    const results = await Promise.all(verbs.map(async (verb) => inkstone([verb, "--help"])));
    for (const [index, { exitCode, stdout, stderr }] of results.entries()) {
      expect(stdout).toContain(`Usage: inkstone ${verbs[index]}`);
      expect(stderr).toBe("");
      expect(exitCode).toBe(0);
      expect(help.stdout).toContain(`  ${verbs[index]}`);
    }
  });

  test("a mistyped command or flag gets the nearest word", async () => {
    expectFailure(await inkstone(["serv"]), 2, /unknown command serv; did you mean serve\?/);
    expectFailure(
      await inkstone(["serve", "--prot", "1"]),
      2,
      /unknown option '--prot'; did you mean --port\?/,
    );
  });

  test("a reader that goes away is no failure", async () => {
    const script = 'set -o pipefail; "$0" "$1" config --json | true';
    const { stderr } = await promisify(execFile)("bash", ["-c", script, process.execPath, entry]);
    expect(stderr).toBe("");
  });
});

describe("configuration", () => {
  test("file, environment and flags, each with its origin", async () => {
    const file = write("team.yaml", "port: 1000\nbatch_size: 4\nthreads: 1\n");
    const { exitCode, stdout } = await inkstone(["config", "--config", file, "--port", "3000", "--json"], {
      env: { INKSTONE_THREADS: "2", INKSTONE_PORT: "2000" },
    });
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      file,
      settings: {
        port: { value: 3000, origin: { kind: "flag", flag: "--port" } },
        threads: { value: 2, origin: { kind: "environment", name: "INKSTONE_THREADS" } },
        max_num_seqs: { value: 4, origin: { kind: "file", path: file, line: 2, key: "batch_size" } },
        host: { value: "127.0.0.1", origin: { kind: "default" } },
        cache_dir: { value: join(home, ".cache", "inkstone") },
      },
    });
  });

  test("unknown keys and variables are refused by every command that reads settings", async () => {
    const file = write("wrong.yaml", "prot: 1000\n");
    for (const verb of ["config", "serve", "ls"]) {
      const result = await inkstone([verb, "--config", file]);
      expectFailure(result, 2, /wrong\.yaml:1: unknown key prot; did you mean port\?/);
    }
    const result = await inkstone(["ls"], { env: { INKSTONE_CACHEDIR: "/x" } });
    expectFailure(result, 2, /INKSTONE_CACHEDIR; did you mean INKSTONE_CACHE_DIR\?/);
  });
});

describe("serve refuses", () => {
  test("another host without a key", async () => {
    expectFailure(await inkstone(["serve", "--host", "0.0.0.0"]), 2, /--host 0\.0\.0\.0/);
  });

  test("a key file that is not there", async () => {
    expectFailure(await inkstone(["serve", "--api-key-file", "none.txt"]), 2, /none\.txt/);
  });

  test("a taken port, before it looks for the model", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    const { port } = other.address() as AddressInfo;
    const result = await inkstone(["serve", join(home, "missing.gguf"), "--port", String(port)]);
    await new Promise((resolve) => other.close(resolve));
    expectFailure(result, 3, new RegExp(`port ${port}`));
  });

  test.each<[string, () => string, RegExp]>([
    ["a missing file", () => join(home, "missing.gguf"), /missing\.gguf/],
    ["a truncated GGUF", () => write("cut.gguf", ggufStart(3, 5, 5)), /cut\.gguf/],
    ["a GGUF of a newer version", () => write("new.gguf", ggufStart(99, 0, 0)), /99/],
    ["a file of another kind", () => write("text.gguf", "hello, this is no model"), /text\.gguf/],
    ["an unknown name", () => "smollm9-135m", /smollm9-135m.*smollm2-135m/],
  ])("%s", async (_name, model, message) => {
    const { stderr, ...result } = await inkstone(["serve", model(), "--port", "0", "--log-level", "error"]);
    expectFailure({ ...result, stderr }, 4, message);
  });
});

describe("commands that need no engine", () => {
  test("ls of an empty store", async () => {
    const { exitCode, stdout, stderr } = await inkstone(["ls"]);
    expect(stdout).toBe("NAME  ID  SIZE  MODIFIED\n");
    expect(stderr).toContain("inkstone pull");
    expect(exitCode).toBe(0);
    expect((await inkstone(["list", "--json"])).stdout).toBe("[]\n");
  });

  test("rm of what is not there", async () => {
    expectFailure(await inkstone(["rm", "nothing"]), 4, /nothing/);
  });

  test("pull offline, and into a directory that cannot be made", async () => {
    expectFailure(await inkstone(["pull", "--offline"]), 3, /smollm2|offline/);
    const file = write("a-file", "");
    expectFailure(await inkstone(["pull", "--cache-dir", join(file, "cache")]), 3, /a-file/);
  });

  test("ps and run without a server", async () => {
    expectFailure(
      await inkstone(["ps", "--url", "127.0.0.1:1"]),
      3,
      /no server answers at http:\/\/127\.0\.0\.1:1/,
    );
    expectFailure(await inkstone(["run", "--url", "127.0.0.1:1", "Hi there"]), 3, /no server answers/);
  });

  test("a chat without a terminal", async () => {
    expectFailure(await inkstone(["run"]), 2, /a chat needs a terminal/);
    expectFailure(await inkstone(["run", "Hi"]), 2, /"Hi" is taken for the model/);
  });

  test("the stack is there for those who ask", async () => {
    const { stderr } = await inkstone(["rm", "nothing", "--log-level", "debug"]);
    expect(stderr).toMatch(/^ +at /m);
  });
});
