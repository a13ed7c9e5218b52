/** Many clients at once whose prompts begin with the same long text, which no server has seen before. */
import { createRandom, randomTokens } from "./prompts.ts";
import { quantile } from "./statistics.ts";
import { streamCompletion, timeToFirstTokenMs } from "./stream-client.ts";

export const sharedPrefixWorkload = {
  clients: 16,
  prefixTokens: 1500,
  suffixTokens: 16,
  outputTokens: 64,
} as const;

export interface SharedPrefixRun {
  readonly wholeMs: number;
  readonly ttftP50Ms: number;
  readonly ttftWorstMs: number;
  /** Prompt tokens of all clients that the server took from its cache. */
  readonly cachedTokens: number;
}

/** Runs the workload once; `seed` must be one that this server has not seen. */
export async function measureSharedPrefix(url: string, seed: number): Promise<SharedPrefixRun> {
  const { clients, prefixTokens, suffixTokens, outputTokens } = sharedPrefixWorkload;
  const random = createRandom(seed);
  const prefix = randomTokens(random, prefixTokens);
  const prompts = Array.from({ length: clients }, () => [...prefix, ...randomTokens(random, suffixTokens)]);
  const records = await Promise.all(
    prompts.map((prompt) => streamCompletion({ url, prompt, maxTokens: outputTokens })),
  );
  const ttftsMs = records.map(timeToFirstTokenMs);
  return {
    wholeMs:
      Math.max(...records.map(({ endMs }) => endMs)) - Math.min(...records.map(({ startMs }) => startMs)),
    ttftP50Ms: quantile(ttftsMs, 0.5),
    ttftWorstMs: Math.max(...ttftsMs),
    cachedTokens: records.reduce((sum, { cachedTokens }) => sum + cachedTokens, 0),
  };
}
