/** The built command with a real model: serve, ps, run. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ensureModel, runCommand, servedModel, startServer, testModel } from "./server.ts";
import type { RunningServer } from "./server.ts";

const small = ["-c", "512", "--max-num-seqs", "2"];

describe("a running server", () => {
  let server: RunningServer;

  beforeAll(async () => {
    server = await startServer({ args: [...small, "--alias", "another-name"] });
  });

  afterAll(async () => {
    await server?.stop();
  });

  test("ps shows the model, as a table and as JSON", async () => {
    const table = await runCommand(["ps", "--url", server.url]);
    expect(table.stdout).toMatch(/^NAME +SIZE +PROCESSOR +CONTEXT +KV +RUNNING +WAITING\n/);
    expect(table.stdout).toMatch(new RegExp(`^${servedModel} +\\d.* MB .* 512 `, "m"));
    const json = await runCommand(["ps", "--url", server.url, "--json"]);
    expect(JSON.parse(json.stdout)).toMatchObject([{ id: servedModel }]);
  });

  test("every served name answers", async () => {
    for (const model of [servedModel, "another-name"]) {
      const { exitCode, stdout } = await runCommand([
        "run",
        "--url",
        server.url,
        model,
        "Say hello.",
        "--max-tokens",
        "4",
      ]);
      expect(stdout.trim()).not.toBe("");
      expect(exitCode).toBe(0);
    }
  });

  test("run --url: from standard input, as JSON, with times", async () => {
    const args = ["run", "--url", server.url, "--max-tokens", "4", "--temperature", "0"];
    const json = await runCommand([...args, "--json"], { input: "Say hello." });
    expect(JSON.parse(json.stdout)).toMatchObject({
      object: "chat.completion",
      usage: { completion_tokens: 4 },
    });
    const verbose = await runCommand([...args, "--verbose", "--no-stream", "Say hello."]);
    expect(verbose.stdout).toMatch(/\S\n$/);
    expect(verbose.stderr).toMatch(/prompt: .*tokens/);
    expect(verbose.stderr).toMatch(/answer: +4 tokens/);
  });

  test("a prompt that is too long ends with the server's own error", async () => {
    const { exitCode, stdout, stderr } = await runCommand([
      "run",
      "--url",
      server.url,
      `Repeat ${"very ".repeat(2000)}`,
    ]);
    expect(stderr).toMatch(/^error: .*512/m);
    expect(stdout).toBe("");
    expect(exitCode).toBe(2);
  });

  test("off a terminal the log is JSON, says that it is ready, and holds no content", () => {
    const lines = server
      .stderr()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.find(({ msg }) => msg === "ready")).toMatchObject({ url: server.url, contextWindow: 512 });
    expect(server.stderr()).not.toContain("Say hello");
    expect(server.stdout()).toBe("");
  });

  test("a second server on the port is refused, and the first goes on", async () => {
    const { exitCode, stderr } = await runCommand(["serve", testModel, "--port", String(server.port)]);
    expect(stderr).toMatch(/error: port \d+ .*taken/);
    expect(exitCode).toBe(3);
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200);
  });

  test("SIGTERM lets a request end, answers no new one, and stops with 0", async () => {
    const running = runCommand(["run", "--url", server.url, "Count to ten.", "--max-tokens", "40"]);
    await expect
      .poll(async () => (await fetch(`${server.url}/metrics`)).text(), { timeout: 30_000 })
      .toMatch(/inkstone:num_requests_running\{[^}]*\} 1\b/);
    const exitCode = await server.stop();
    expect(exitCode).toBe(0);
    expect(await running).toMatchObject({ exitCode: 0 });
    expect(server.childPids()).toEqual([]);
  });
});

test("run answers from an engine of its own, and leaves nothing on standard error", async () => {
  await ensureModel();
  const { exitCode, stdout, stderr } = await runCommand(
    ["run", testModel, "-c", "512", "--max-tokens", "4", "Say", "hello."],
    { timeoutMs: 120_000 },
  );
  expect(stderr).toBe("");
  expect(stdout.trim()).not.toBe("");
  expect(exitCode).toBe(0);
});
