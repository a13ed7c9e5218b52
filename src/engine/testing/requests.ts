/** Makers of requests for tests. */
import type { EngineRequest, SamplingParams, TokenId } from "../types.ts";

export const greedy: SamplingParams = {
  temperature: 0,
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
};

/** A greedy request; `overrides` replace its fields. */
export function makeRequest(
  id: string,
  promptTokens: readonly TokenId[],
  overrides: Partial<EngineRequest> = {},
): EngineRequest {
  return {
    id,
    promptTokens,
    outputTokens: [],
    maxTokens: 8,
    ignoreEos: false,
    sampling: greedy,
    topLogprobs: -1,
    promptLogprobs: -1,
    cacheNamespace: "",
    priority: 0,
    alone: false,
    ...overrides,
  };
}

/** `n` tokens that depend on a seed. */
export function makeTokens(seed: number, n: number): TokenId[] {
  let state = seed >>> 0;
  return Array.from({ length: n }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % 97;
  });
}
