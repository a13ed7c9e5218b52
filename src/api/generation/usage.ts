/** What a generation used, as OpenAI and llama-server report it. */
import type { RequestTimings } from "../../engine/types.ts";

/** Tokens of a generation with all its choices; each prompt counts once. */
export interface GenerationTotals {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** Of the choice that took longest; null when none ran. */
  readonly timings: RequestTimings | null;
}

/** OpenAI's `usage`. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

/** llama-server's `timings`; milliseconds, and tokens per second. */
export interface Timings {
  readonly cache_n: number;
  readonly prompt_n: number;
  readonly prompt_ms: number;
  readonly prompt_per_token_ms: number;
  readonly prompt_per_second: number;
  readonly predicted_n: number;
  readonly predicted_ms: number;
  readonly predicted_per_token_ms: number;
  readonly predicted_per_second: number;
}

/** Totals as OpenAI's `usage`. */
export function toUsage({ promptTokens, completionTokens, cachedTokens }: GenerationTotals): Usage {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

/** Totals as llama-server's `timings`; `prompt_n` counts the tokens that were computed. */
export function toTimings(totals: GenerationTotals): Timings {
  const promptTokens = totals.promptTokens - totals.cachedTokens;
  const promptMs = round(totals.timings?.prefillMs ?? 0);
  const predictedMs = round(totals.timings?.decodeMs ?? 0);
  return {
    cache_n: totals.cachedTokens,
    prompt_n: promptTokens,
    prompt_ms: promptMs,
    prompt_per_token_ms: quotient(promptMs, promptTokens),
    prompt_per_second: quotient(promptTokens * 1000, promptMs),
    predicted_n: totals.completionTokens,
    predicted_ms: predictedMs,
    predicted_per_token_ms: quotient(predictedMs, totals.completionTokens),
    predicted_per_second: quotient(totals.completionTokens * 1000, predictedMs),
  };
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function quotient(dividend: number, divisor: number): number {
  return divisor === 0 ? 0 : round(dividend / divisor);
}
