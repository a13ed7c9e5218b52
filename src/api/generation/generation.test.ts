import { describe, expect, test } from "vitest";
import { createFakeEngine } from "../../../test/support/fake-engine.ts";
import type { FakeEngine } from "../../../test/support/fake-engine.ts";
import type { TokenId } from "../../engine/types.ts";
import type { FinishedPrompt, FinishedRequest } from "../../observe/metrics.ts";
import { createGeneration } from "./generation.ts";
import type { ChoicePlan, GenerationHandlers } from "./generation.ts";

const neutral = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  typicalP: 1,
  repeatPenalty: 1,
  repeatLastN: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  seed: null,
  logitBias: [],
  grammar: null,
};

function plan(id: string, more: Partial<ChoicePlan> = {}): ChoicePlan {
  return {
    request: {
      id,
      promptTokens: [1, 2, 3],
      outputTokens: [],
      maxTokens: 100,
      ignoreEos: false,
      sampling: neutral,
      topLogprobs: -1,
      promptLogprobs: -1,
      cacheNamespace: "",
      priority: 0,
      alone: false,
    },
    output: {},
    stopTokenIds: new Set<TokenId>(),
    promptIndex: 0,
    sharesPromptLogprobs: false,
    ...more,
  };
}

function create(engine: FakeEngine, choices: readonly ChoicePlan[], more: Partial<GenerationHandlers> = {}) {
  const events: string[] = [];
  const finished: FinishedRequest[] = [];
  const prompts: FinishedPrompt[] = [];
  let nowMs = 1000;
  const generation = createGeneration(
    {
      model: { name: "m", aliases: [], client: engine, createdAtS: 0, ownedBy: "" },
      choices,
      metrics: {
        firstToken: (seconds) => events.push(`first after ${seconds}`),
        interToken: (seconds) => events.push(`next after ${seconds}`),
        finished: (request) => finished.push(request),
        promptFinished: (prompt) => prompts.push(prompt),
      },
      now: () => nowMs,
      arrivedMs: 1000,
    },
    {
      onDelta: (choice, { content }, tokens) => events.push(`${choice} ${content} (${tokens.length})`),
      onPromptLogprobs: () => events.push("prompt"),
      onFinish: (choice, reason) => events.push(`${choice} ${reason}`),
      onEnd: (error) => events.push(error === null ? "end" : error.code),
      ...more,
    },
  );
  const step = (afterMs: number): void => {
    nowMs += afterMs;
    engine.step();
  };
  return { generation, events, finished, prompts, step };
}

describe("createGeneration", () => {
  test("tokens become deltas, times become observations, the end comes once", () => {
    const engine = createFakeEngine({ pace: "manual", reply: "ab", cachedTokens: 2 });
    const { generation, events, finished, step } = create(engine, [plan("a")]);
    generation.start();
    step(500);
    step(20);
    step(20);
    expect(events).toEqual(["first after 0.5", "0 a (1)", "next after 0.02", "0 b (1)", "0 stop", "end"]);
    expect(finished).toEqual([
      {
        reason: "stop",
        promptTokens: 3,
        generatedTokens: 2,
        e2eSeconds: 0.54,
        queueSeconds: 0.001,
        prefillSeconds: 0.02,
        decodeSeconds: 0.04,
      },
    ]);
    expect(generation.totals()).toMatchObject({ promptTokens: 3, completionTokens: 2, cachedTokens: 2 });
  });

  test("a stop string inside an update of several tokens: the later ones are neither shown nor counted", () => {
    const engine = createFakeEngine({ pace: "manual" });
    const { generation, events, step } = create(engine, [plan("a", { output: { stops: ["."] } })]);
    generation.start();
    engine.send("a", { tokens: [..."a.b"].map((text) => ({ token: text.charCodeAt(0) })) });
    step(1);
    expect(events).toEqual(["first after 0", "0 a (2)", "0 stop", "end"]);
    expect(generation.totals().completionTokens).toBe(2);
    expect(engine.cancelled).toEqual(["a"]);
  });

  test("prompts count once each", () => {
    const engine = createFakeEngine({ pace: "manual", reply: "a" });
    const choices = [plan("a"), plan("b"), plan("c", { promptIndex: 1 })];
    const { generation, prompts, step } = create(engine, choices);
    generation.start();
    step(1);
    step(1);
    expect(generation.totals()).toMatchObject({ promptTokens: 6, completionTokens: 3 });
    expect(prompts).toEqual([
      { n: 2, maxTokens: 100, mostGeneratedTokens: 1 },
      { n: 1, maxTokens: 100, mostGeneratedTokens: 1 },
    ]);
  });

  test("cancel ends all choices, silently, as aborted", () => {
    const engine = createFakeEngine({ pace: "manual" });
    const { generation, events, finished, step } = create(engine, [plan("a"), plan("b")]);
    generation.start();
    generation.cancel();
    generation.cancel();
    step(1);
    expect(engine.cancelled).toEqual(["a", "b"]);
    expect(events).toEqual([]);
    expect(finished.map(({ reason }) => reason)).toEqual(["abort", "abort"]);
  });

  test("a failing choice ends the others, once", () => {
    const engine = createFakeEngine({ pace: "manual" });
    const { generation, events, finished } = create(engine, [plan("a"), plan("b")]);
    generation.start();
    engine.send("a", { tokens: [], finish: { reason: "error", errorCode: "out_of_memory", message: "x" } });
    expect(events).toEqual(["out_of_memory"]);
    expect(engine.cancelled).toEqual(["b"]);
    expect(finished.map(({ reason }) => reason)).toEqual(["error", "error"]);
  });

  test("an engine that stops says so", () => {
    const engine = createFakeEngine({ pace: "manual" });
    const { generation, events } = create(engine, [plan("a")]);
    generation.start();
    engine.cancel("a");
    expect(events).toEqual(["shutting_down"]);
  });

  test("a refused choice takes back those before it", () => {
    const engine = createFakeEngine({ pace: "manual", maxRequests: 1 });
    const { generation, events, finished } = create(engine, [plan("a"), plan("b")]);
    expect(() => generation.start()).toThrow("wait already");
    expect(engine.cancelled).toEqual(["a"]);
    expect(events).toEqual([]);
    expect(finished).toEqual([]);
  });

  test("a token outside the vocabulary ends the request, not the caller", () => {
    const engine = createFakeEngine({ pace: "manual" });
    const { generation, events } = create(engine, [plan("a")]);
    generation.start();
    engine.send("a", { tokens: [{ token: 99_999 }] });
    expect(events).toEqual(["internal_error"]);
    expect(engine.cancelled).toEqual(["a"]);
  });
});
