/** The engine process is killed while the official client streams: nobody notices, and the server never stops listening. */
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { countingPrompts, countingTokens } from "./counting-prompts.ts";
import { readMetric } from "./metrics.ts";
import { hasProc } from "./processes.ts";
import { servedModel, startServer } from "./server.ts";
import type { RunningServer } from "./server.ts";

interface Answer {
  readonly text: string;
  readonly finishReason: string | null;
  readonly completionTokens: number;
}

describe.skipIf(!hasProc)("kill -9 of the engine", { timeout: 300_000 }, () => {
  let server: RunningServer;
  let client: OpenAI;

  beforeAll(async () => {
    server = await startServer({ args: ["--context-window", "2048"] });
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  });

  afterAll(async () => {
    await server?.stop();
  });

  async function stream(prompt: string, onText: () => void = () => undefined): Promise<Answer> {
    const events = await client.completions.create({
      model: servedModel,
      prompt,
      max_tokens: countingTokens,
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
      ...{ ignore_eos: true },
    });
    let text = "";
    let finishReason: string | null = null;
    let completionTokens = 0;
    for await (const { choices, usage } of events) {
      text += choices[0]?.text ?? "";
      finishReason = choices[0]?.finish_reason ?? finishReason;
      completionTokens = usage?.completion_tokens ?? completionTokens;
      if (choices[0]?.text) onText();
    }
    return { text, finishReason, completionTokens };
  }

  /** Asks whether the server lives until told to stop; gives the number of answers, or rejects at the first failure. */
  async function watchLiveness(isOver: () => boolean): Promise<number> {
    let answers = 0;
    while (!isOver()) {
      const response = await fetch(`${server.url}/health/live`);
      expect(response.status).toBe(200);
      await response.body?.cancel();
      answers++;
      await sleep(50);
    }
    return answers;
  }

  /** Streams all prompts at once and kills the engine when every stream has begun. */
  async function streamThroughCrash(): Promise<Answer[]> {
    const [enginePid, ...others] = server.enginePids();
    expect(others).toEqual([]);
    if (enginePid === undefined) throw new Error("the server has no engine process");
    const begun = new Set<string>();
    let isKilled = false;
    const answers = await Promise.all(
      countingPrompts.map((prompt) =>
        stream(prompt, () => {
          begun.add(prompt);
          if (isKilled || begun.size < countingPrompts.length) return;
          isKilled = true;
          process.kill(enginePid, "SIGKILL");
        }),
      ),
    );
    expect(isKilled).toBe(true);
    return answers;
  }

  test("8 streams go on without a gap, a repeat or an error", async () => {
    const expected = await Promise.all(countingPrompts.map((prompt) => stream(prompt)));
    for (const answer of expected) expect(answer.completionTokens).toBe(countingTokens);

    const before = server.enginePids();
    let isOver = false;
    const liveness = watchLiveness(() => isOver);
    const answers = await streamThroughCrash().finally(() => (isOver = true));

    expect(answers).toEqual(expected);
    expect(await liveness).toBeGreaterThan(0);
    const after = server.enginePids();
    expect(after).toHaveLength(1);
    expect(after).not.toEqual(before);
    expect(await readMetric(server.url, "inkstone:engine_restarts_total")).toBe(1);
  });

  test("the tokeniser process is replaced too", async () => {
    const [prompt = ""] = countingPrompts;
    const expected = await stream(prompt);
    const engines = server.enginePids();
    for (const pid of server.childPids()) if (!engines.includes(pid)) process.kill(pid, "SIGKILL");
    expect(await stream(prompt)).toEqual(expected);
    expect(server.enginePids()).toEqual(engines);
  });
});
