/** The built command with a real model: serve, ps, run. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ensureModel, runCommand, servedModel, startServer, testModel } from "./server.ts";
import type { RunningServer } from "./server.ts";

const small = ["-c", "512", "--max-num-seqs", "2"];

describe("a running server", () => {
  let server: RunningServer;

  beforeAll(async () => {
    server = await startServer({ args: [...small, "--served-model-name", "another-name"] });
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

  test("SIGTERM lets a running request end, and stops with 0", async () => {
    const answer = await fetch(`${server.url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "Once", max_tokens: 40, ignore_eos: true, stream: true }),
    });
    const read = answer.text();
    const exitCode = await server.stop();
    expect(exitCode).toBe(0);
    expect(await read).toMatch(/data: \[DONE\]\s*$/);
    expect(server.childPids()).toEqual([]);
  });
});

test("a second signal stops at once", async () => {
  const server = await startServer({ args: small });
  const answer = await fetch(`${server.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt: "Once", max_tokens: 500, ignore_eos: true, stream: true }),
  });
  expect(answer.status).toBe(200);
  const read = answer.text().then(
    () => "whole",
    () => "cut off",
  );
  process.kill(server.pid, "SIGINT");
  await expect.poll(() => server.stderr()).toContain('"msg":"stopping"');
  // sooner, it would count as the same keypress
  await sleep(600);
  process.kill(server.pid, "SIGINT");
  expect(await server.exited).toBe(130);
  expect(await read).toBe("cut off");
});

test("Ctrl+C under npm, which passes the signal on a second time, lets a running request end", async () => {
  const server = await startServer({ args: small });
  const answer = await fetch(`${server.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt: "Once", max_tokens: 20, ignore_eos: true, stream: true }),
  });
  const read = answer.text();
  process.kill(server.pid, "SIGINT");
  await sleep(20);
  process.kill(server.pid, "SIGINT");
  expect(await read).toMatch(/data: \[DONE\]\s*$/);
  expect(await server.exited).toBe(0);
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
