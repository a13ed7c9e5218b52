/** More requests than the KV cache has room for: all are answered whole, twice, and memory does not grow. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { readMetric } from "./metrics.ts";
import { hasProc, residentBytes } from "./processes.ts";
import { servedModel, startServer } from "./server.ts";
import type { RunningServer } from "./server.ts";

const requests = 200;
const maxNumSeqs = 32;
/** Requests in flight: twice as many as run, so that the queue is never empty. */
const inFlight = 64;
const kvCacheTokens = 512;
const memoryTolerance = 0.05;
/** Most of a minute on two free cores; busy ones are several times slower. */
const timeoutMs = 900_000;

interface Shape {
  readonly prompt: readonly number[];
  readonly outputTokens: number;
}

/** Mixed lengths that repeat from run to run: prompts of 8 to 39 tokens, answers of 4 to 35. */
const shapes: readonly Shape[] = Array.from({ length: requests }, (_, index) => ({
  prompt: Array.from(
    { length: 8 + ((index * 37) % 32) },
    (__, at) => 1000 + ((index * 7919 + at * 104_729) % 20_000),
  ),
  outputTokens: 4 + ((index * 13) % 32),
}));

const meanTokens =
  shapes.reduce((sum, { prompt, outputTokens }) => sum + prompt.length + outputTokens, 0) / requests;

interface Answer {
  readonly status: number;
  readonly finishReason: string | undefined;
  readonly completionTokens: number | undefined;
}

describe(`${requests} requests at twice the cache's capacity`, () => {
  let server: RunningServer;

  beforeAll(async () => {
    server = await startServer({
      args: [
        ...["--kv-layout", "unified", "--kv-cache-tokens", String(kvCacheTokens)],
        ...["--max-num-seqs", String(maxNumSeqs), "--context-window", "256"],
      ],
    });
  });

  afterAll(async () => {
    await server?.stop();
  });

  async function ask({ prompt, outputTokens }: Shape): Promise<Answer> {
    const response = await fetch(`${server.url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        model: servedModel,
        prompt,
        max_tokens: outputTokens,
        temperature: 0,
        ignore_eos: true,
      }),
    });
    const body = (await response.json()) as {
      choices?: { finish_reason: string }[];
      usage?: { completion_tokens: number };
    };
    return {
      status: response.status,
      finishReason: body.choices?.[0]?.finish_reason,
      completionTokens: body.usage?.completion_tokens,
    };
  }

  /** Resident memory of the engine process once it has had time to settle. */
  async function engineBytes(): Promise<number> {
    await sleep(1000);
    return server.enginePids().reduce((sum, pid) => sum + residentBytes(pid), 0);
  }

  async function round(): Promise<void> {
    const answers: Answer[] = [];
    const waiting = [...shapes.entries()];
    const work = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const [index, shape] = next;
        answers[index] = await ask(shape);
      }
    };
    await Promise.all(Array.from({ length: inFlight }, work));
    expect(answers).toEqual(
      shapes.map(({ outputTokens }) => ({
        status: 200,
        finishReason: "length",
        completionTokens: outputTokens,
      })),
    );
  }

  test(
    "none fails, all are complete, and memory is the same after a second round",
    { timeout: timeoutMs },
    async () => {
      expect(maxNumSeqs * meanTokens).toBeGreaterThanOrEqual(2 * kvCacheTokens);
      await round();
      expect(await readMetric(server.url, "inkstone:num_preemptions_total")).toBeGreaterThan(0);
      const first = await engineBytes();
      await round();
      const second = await engineBytes();
      expect(await readMetric(server.url, "inkstone:engine_restarts_total")).toBe(0);
      expect(await readMetric(server.url, "inkstone:num_requests_running")).toBe(0);
      expect(await readMetric(server.url, "inkstone:num_requests_waiting")).toBe(0);
      if (hasProc) {
        expect(first).toBeGreaterThan(0);
        expect(second).toBeLessThanOrEqual(first * (1 + memoryTolerance));
      }
    },
  );
});
