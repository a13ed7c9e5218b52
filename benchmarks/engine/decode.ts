/** Decoding of unrelated streams: tokens a second while all of them decode. */
import { createRandom, randomTokens } from "./prompts.ts";
import { streamCompletion } from "./stream-client.ts";
import type { StreamRecord } from "./stream-client.ts";

export const decodeWorkload = { promptTokens: 32, outputTokens: 128, streams: [1, 4, 8, 16] } as const;

/** How often each width runs in one repetition: a narrow one is short, so it runs more often. */
export const decodeRuns: readonly number[] = [1, 1, 1, 4, 4, 8, 8, 16];

type Arrivals = Pick<StreamRecord, "arrivalsMs" | "completionTokens">;

/**
 * Tokens a second of all streams together, in the window in which all of them decode: from the latest first token to the
 * earliest last one. Each stream's rate is taken between its own first and last event in that window, so that whole steps
 * are counted. An event stands for as many tokens as the stream's events do on average: a server holds a token back while
 * it ends within a character. NaN when the streams do not overlap.
 */
export function decodeTokensPerSecond(streams: readonly Arrivals[]): number {
  const startMs = Math.max(...streams.map(({ arrivalsMs }) => arrivalsMs[0] ?? Infinity));
  const endMs = Math.min(...streams.map(({ arrivalsMs }) => arrivalsMs.at(-1) ?? -Infinity));
  let total = 0;
  for (const { arrivalsMs, completionTokens } of streams) {
    const inside = arrivalsMs.filter((time) => time >= startMs && time <= endMs);
    const first = inside[0];
    const last = inside.at(-1);
    if (first === undefined || last === undefined || last <= first) return Number.NaN;
    const tokensPerEvent = completionTokens / arrivalsMs.length;
    total += (tokensPerEvent * (inside.length - 1) * 1000) / (last - first);
  }
  return total;
}

/** Runs as many streams at once with prompts that share nothing, and gives their decode rate. */
export async function measureDecode(url: string, streams: number, seed: number): Promise<number> {
  const random = createRandom(seed);
  const { promptTokens, outputTokens } = decodeWorkload;
  const prompts = Array.from({ length: streams }, () => randomTokens(random, promptTokens));
  const records = await Promise.all(
    prompts.map((prompt) => streamCompletion({ url, prompt, maxTokens: outputTokens })),
  );
  return decodeTokensPerSecond(records);
}
