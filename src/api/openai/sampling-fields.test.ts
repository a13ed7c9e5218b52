import { describe, expect, test } from "vitest";
import { createTestApp } from "../../../test/support/api-request.ts";

const path = "/v1/chat/completions";
const messages = [{ role: "user", content: "Hi" }];

describe("sampling", () => {
  test("OpenAI's defaults", async () => {
    const { postOk, engine } = createTestApp();
    await postOk(path, { messages });
    expect(engine.requests[0]).toMatchObject({
      ignoreEos: false,
      topLogprobs: -1,
      promptLogprobs: -1,
      cacheNamespace: "",
      priority: 0,
      sampling: {
        temperature: 1,
        topK: 0,
        topP: 1,
        minP: 0,
        typicalP: 1,
        repeatPenalty: 1,
        repeatLastN: 64,
        presencePenalty: 0,
        frequencyPenalty: 0,
        seed: null,
        logitBias: [],
        grammar: null,
      },
    });
  });

  test("every field arrives, under all its names", async () => {
    const { postOk, engine } = createTestApp();
    await postOk(path, {
      messages,
      temperature: 0,
      top_k: -1,
      top_p: 0.5,
      min_p: 0.1,
      typical: 0.9,
      repetition_penalty: 1.1,
      repeat_last_n: -1,
      presence_penalty: -1,
      frequency_penalty: 2,
      seed: -1,
      logit_bias: { 65: -100, 66: 5 },
      grammar: 'root ::= "a"',
      ignore_eos: true,
      priority: -3,
    });
    expect(engine.requests[0]).toMatchObject({
      ignoreEos: true,
      priority: -3,
      sampling: {
        temperature: 0,
        topK: 0,
        topP: 0.5,
        minP: 0.1,
        typicalP: 0.9,
        repeatPenalty: 1.1,
        repeatLastN: -1,
        presencePenalty: -1,
        frequencyPenalty: 2,
        seed: null,
        logitBias: [
          { token: 65, bias: -100 },
          { token: 66, bias: 5 },
        ],
        grammar: 'root ::= "a"',
      },
    });
  });

  test("null is the same as absent", async () => {
    const { postOk } = createTestApp();
    await postOk(path, {
      messages,
      temperature: null,
      stop: null,
      stream: null,
      tools: null,
      logprobs: null,
    });
  });

  test("large and negative seeds become 32 bits", async () => {
    const { postOk, engine } = createTestApp();
    for (const seed of [2 ** 40, -7]) await postOk(path, { messages, seed });
    for (const { sampling } of engine.requests) {
      expect(sampling.seed).toBeGreaterThanOrEqual(0);
      expect(sampling.seed).toBeLessThan(2 ** 32 - 1);
    }
  });

  test("cache_salt and cache_prompt separate caches", async () => {
    const { postOk, engine } = createTestApp();
    for (const more of [
      { cache_salt: "a" },
      { cache_salt: "b" },
      { cache_salt: "a" },
      { cache_prompt: false },
      { cache_prompt: false },
    ]) {
      await postOk(path, { messages, ...more });
    }
    const [a, b, aAgain, once, onceMore] = engine.requests.map((request) => request.cacheNamespace);
    expect(a).toBe(aAgain);
    expect(new Set([a, b, once, onceMore]).size).toBe(4);
  });

  test("a grammar that does not compile is refused before anything runs", async () => {
    const { postError, engine } = createTestApp();
    expect(await postError(path, { messages, grammar: "nothing" })).toMatchObject({
      status: 400,
      code: "invalid_grammar",
    });
    expect(engine.requests).toHaveLength(0);
  });
});
