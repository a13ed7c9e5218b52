/** The engine's process and its supervisor, with scripted children. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, test } from "vitest";

import { InkstoneError } from "../../src/errors.ts";
import { scriptedContinuation } from "../../src/engine/executor/scripted.ts";
import { startEngineHost } from "../../src/engine/host/engine-host.ts";
import type { EngineFailure } from "../../src/engine/host/engine-host.ts";
import { makeRequest, makeTokens } from "../../src/engine/testing/requests.ts";
import { keepLog, openStream, scriptedConfig, startHost, until } from "./host-harness.ts";
import { hasProc, isRunning } from "./processes.ts";

const poison = 200;

function killEngine(pid: number | null): void {
  if (pid !== null) process.kill(pid, "SIGKILL");
}

function errorCode(run: () => void): string {
  try {
    run();
  } catch (error) {
    if (error instanceof InkstoneError) return error.code;
  }
  return "none";
}

describe("requests", () => {
  test("streams run to their end with the executor's tokens", async () => {
    const { host } = await startHost();
    const prompts = Array.from({ length: 16 }, (_, index) => makeTokens(index, 20 + index));
    const streams = prompts.map((prompt, index) =>
      openStream(host, makeRequest(`r${index}`, prompt, { maxTokens: 50 })),
    );
    for (const [index, stream] of streams.entries()) {
      expect((await stream.ended).finish?.reason).toBe("length");
      expect(stream.tokens).toEqual(scriptedContinuation(prompts[index] ?? [], 50));
      expect(stream.updates.filter((update) => update.finish !== undefined)).toHaveLength(1);
    }
    expect(host.stats.generatedTokens).toBe(16 * 50);
  });

  test("one that the engine refuses ends with its error, the others go on", async () => {
    const { host } = await startHost();
    const good = openStream(host, makeRequest("good", [1, 2, 3], { maxTokens: 20 }));
    const { sampling } = makeRequest("", [1]);
    const bad = openStream(host, makeRequest("bad", [1], { sampling: { ...sampling, grammar: "invalid" } }));
    const { finish } = await bad.ended;
    expect(finish).toMatchObject({ reason: "error", errorCode: "invalid_grammar" });
    expect((await good.ended).finish?.reason).toBe("length");
    expect(host.restarts).toBe(0);
  });

  test("cancel ends a stream", async () => {
    const { host } = await startHost({ scripted: { stepDelayMs: 5 } });
    const stream = openStream(host, makeRequest("r", [1, 2], { maxTokens: 1_000 }));
    await stream.reached(3);
    host.cancel("r");
    expect((await stream.ended).finish?.reason).toBe("cancelled");
    expect(stream.tokens.length).toBeLessThan(1_000);
    host.cancel("r");
    host.cancel("unknown");
  });

  test("a full queue refuses with a time to wait", async () => {
    const { host } = await startHost({ maxQueue: 2, scripted: { stepDelayMs: 5 } }, { maxNumSeqs: 1 });
    const streams = ["a", "b", "c"].map((id) => openStream(host, makeRequest(id, [1], { maxTokens: 20 })));
    expect(() => host.submit(makeRequest("d", [1]), () => {})).toThrow(
      expect.objectContaining({ code: "queue_full", retryAfterS: expect.any(Number) as number }),
    );
    await Promise.all(streams.map((stream) => stream.ended));
    await openStream(host, makeRequest("d", [1])).ended;
  });

  test("a receiver that throws costs only its own request", async () => {
    const { host, lines } = await startHost({ scripted: { stepDelayMs: 2 } });
    host.submit(makeRequest("bad", [1], { maxTokens: 500 }), () => {
      throw new Error("receiver");
    });
    const good = openStream(host, makeRequest("good", [2], { maxTokens: 30 }));
    expect((await good.ended).finish?.reason).toBe("length");
    await until(() => host.stats.running === 0);
    expect(lines.some(({ message }) => message.includes("receiver"))).toBe(true);
  });
});

describe("crashes", () => {
  test("kill -9 while 8 requests stream: the streams go on without a gap or a repeat", async () => {
    const failures: EngineFailure[] = [];
    const { host } = await startHost({
      scripted: { stepDelayMs: 5 },
      onCrash: (failure) => failures.push(failure),
    });
    const prompts = Array.from({ length: 8 }, (_, index) => makeTokens(index + 1, 30));
    const streams = prompts.map((prompt, index) =>
      openStream(host, makeRequest(`r${index}`, prompt, { maxTokens: 100 })),
    );
    await Promise.all(streams.map((stream) => stream.reached(10)));
    const generatedBefore = host.stats.generatedTokens;
    killEngine(host.enginePid);
    await until(() => host.state === "restarting");
    const late = openStream(host, makeRequest("late", [7, 7], { maxTokens: 10 }));
    for (const [index, stream] of streams.entries()) {
      const last = await stream.ended;
      expect(last.finish?.reason).toBe("length");
      expect(last.timings?.preemptions).toBe(1);
      expect(stream.tokens).toEqual(scriptedContinuation(prompts[index] ?? [], 100));
    }
    expect((await late.ended).finish?.reason).toBe("length");
    expect(late.tokens).toEqual(scriptedContinuation([7, 7], 10));
    expect(failures).toHaveLength(1);
    expect(failures[0]?.running).toHaveLength(8);
    expect(host.restarts).toBe(1);
    expect(host.state).toBe("ready");
    expect(host.stats.generatedTokens).toBeGreaterThan(generatedBefore);
  });

  test("a request that crashes the engine is ended at the third crash, the others complete", async () => {
    const failures: EngineFailure[] = [];
    const { host } = await startHost({
      scripted: { stepDelayMs: 2, crashOnToken: poison },
      onCrash: (failure) => failures.push(failure),
    });
    const good = [1, 2, 3].map((seed) => {
      const prompt = makeTokens(seed, 10);
      return { prompt, stream: openStream(host, makeRequest(`g${seed}`, prompt, { maxTokens: 60 })) };
    });
    await Promise.all(good.map(({ stream }) => stream.reached(5)));
    const bad = openStream(host, makeRequest("bad", [1, poison], { maxTokens: 60 }));
    expect((await bad.ended).finish).toMatchObject({ reason: "error", errorCode: "engine_crashed" });
    for (const { prompt, stream } of good) {
      expect((await stream.ended).finish?.reason).toBe("length");
      expect(stream.tokens).toEqual(scriptedContinuation(prompt, 60));
    }
    expect(failures).toHaveLength(3);
    expect(failures[2]?.running).toEqual(["bad"]);
  });

  test("requests that crash an idle engine one after another are no crash loop", async () => {
    const { host } = await startHost({ scripted: { crashOnToken: poison } });
    for (const id of ["a", "b", "c"]) {
      const { finish } = await openStream(host, makeRequest(id, [poison])).ended;
      expect(finish?.errorCode).toBe("engine_crashed");
    }
    expect((await openStream(host, makeRequest("good", [1])).ended).finish?.reason).toBe("length");
  });

  test("an engine that hangs is killed at the deadline", async () => {
    const { host, lines } = await startHost({ stepTimeoutMs: 300, scripted: { hangOnToken: poison } });
    const stream = openStream(host, makeRequest("r", [poison]));
    expect((await stream.ended).finish?.errorCode).toBe("engine_crashed");
    expect(lines.filter(({ message }) => message.includes("no step ended within"))).toHaveLength(3);
  });

  test("a silence between two bursts of work is no hang", async () => {
    const { host } = await startHost({ stepTimeoutMs: 400 });
    await openStream(host, makeRequest("a", [1])).ended;
    await new Promise((resolve) => setTimeout(resolve, 600));
    await openStream(host, makeRequest("b", [1])).ended;
    expect(host.restarts).toBe(0);
  });

  test("cancelled while the engine restarts: ended, not resubmitted", async () => {
    const { host } = await startHost({ scripted: { stepDelayMs: 5 } });
    const stream = openStream(host, makeRequest("r", [1], { maxTokens: 1_000 }));
    await stream.reached(2);
    killEngine(host.enginePid);
    await until(() => host.state === "restarting");
    host.cancel("r");
    expect((await stream.ended).finish?.reason).toBe("cancelled");
    await until(() => host.state === "ready");
    expect(host.stats.running).toBe(0);
  });

  test("an engine that does not load again is a crash loop: requests end, submit refuses", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "inkstone-host-"));
    const requireFile = path.join(folder, "model");
    writeFileSync(requireFile, "");
    const failures: EngineFailure[] = [];
    const { host, lines } = await startHost({
      scripted: { requireFile, stepDelayMs: 5 },
      onCrash: (failure) => failures.push(failure),
    });
    const stream = openStream(host, makeRequest("r", [1], { maxTokens: 1_000 }));
    await stream.reached(2);
    rmSync(folder, { recursive: true });
    killEngine(host.enginePid);
    expect((await stream.ended).finish).toMatchObject({ reason: "error", errorCode: "engine_crash_loop" });
    expect(host.state).toBe("failed");
    expect(errorCode(() => host.submit(makeRequest("s", [1]), () => {}))).toBe("engine_crash_loop");
    expect(failures.at(-1)).toMatchObject({ state: "failed" });
    expect(lines.some(({ level, message }) => level === "error" && message.includes("keeps failing"))).toBe(
      true,
    );
  });

  test("a model that does not load at the first start rejects with the child's error", async () => {
    const { logger } = keepLog();
    const start = startEngineHost(scriptedConfig, {
      maxQueue: 1,
      stepTimeoutMs: 1_000,
      logger,
      scripted: { requireFile: "/nonexistent/model" },
    });
    await expect(start).rejects.toMatchObject({
      code: "model_file_missing",
      message: expect.stringContaining("/nonexistent/model") as string,
    });
  });
});

test.skipIf(!hasProc)("the library is told not to start a debugger when it aborts", async () => {
  const { host } = await startHost();
  for (const pid of [host.enginePid ?? 0, ...host.tokenizerPids]) {
    expect(readFileSync(`/proc/${pid}/environ`, "utf8").split("\0")).toContain("GGML_NO_BACKTRACE=1");
  }
});

describe("close", () => {
  test("drains what is in flight, then ends the processes", async () => {
    const { host } = await startHost({ scripted: { stepDelayMs: 5 } });
    const pids = [host.enginePid ?? 0, ...host.tokenizerPids];
    const stream = openStream(host, makeRequest("r", [1], { maxTokens: 40 }));
    const closed = host.close(60_000);
    expect(host.state).toBe("stopping");
    expect(errorCode(() => host.submit(makeRequest("s", [1]), () => {}))).toBe("shutting_down");
    expect((await stream.ended).finish?.reason).toBe("length");
    await closed;
    expect(host.state).toBe("stopped");
    expect(pids.filter(isRunning)).toEqual([]);
    await expect(host.tokenize("x", { addSpecial: false, parseSpecial: false })).rejects.toMatchObject({
      code: "shutting_down",
    });
  });

  test("ends what is not done in time", async () => {
    const { host } = await startHost({ scripted: { stepDelayMs: 5 } });
    const stream = openStream(host, makeRequest("r", [1], { maxTokens: 2_000 }));
    await stream.reached(1);
    await host.close(20);
    expect((await stream.ended).finish).toMatchObject({ reason: "error", errorCode: "shutting_down" });
  });

  test("children outlive the signals of a terminal", async () => {
    const { host } = await startHost({ scripted: { stepDelayMs: 2 } });
    const stream = openStream(host, makeRequest("r", [1], { maxTokens: 50 }));
    await stream.reached(2);
    for (const pid of [host.enginePid ?? 0, ...host.tokenizerPids]) {
      process.kill(pid, "SIGINT");
      process.kill(pid, "SIGTERM");
    }
    expect((await stream.ended).finish?.reason).toBe("length");
    expect(await host.tokenize("ab", { addSpecial: false, parseSpecial: false })).toEqual([97, 98]);
    expect(host.restarts).toBe(0);
  });
});
