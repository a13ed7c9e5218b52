/** The arithmetic that the benchmark's figures rest on. */
import { describe, expect, test } from "vitest";

import { decodeTokensPerSecond } from "../../benchmarks/engine/decode.ts";
import { createRandom, randomTokens } from "../../benchmarks/engine/prompts.ts";
import { pairedRatios, quantile, summarise } from "../../benchmarks/engine/statistics.ts";

/** A stream with an event every `everyMs` from `startMs` on. */
function stream(startMs: number, everyMs: number, events: number, completionTokens = events) {
  return {
    arrivalsMs: Array.from({ length: events }, (_, index) => startMs + index * everyMs),
    completionTokens,
  };
}

describe("decode rate", () => {
  test("one stream: the tokens after the first, over the time after the first", () => {
    expect(decodeTokensPerSecond([stream(500, 10, 101)])).toBeCloseTo(100);
  });

  test("streams in step add up, whatever their order within a step", () => {
    const streams = [stream(0, 20, 50), stream(0.4, 20, 50), stream(0.8, 20, 50)];
    expect(decodeTokensPerSecond(streams)).toBeCloseTo(150);
  });

  test("what a stream does before the others have begun, or after one has ended, does not count", () => {
    const fastAlone = [...Array.from({ length: 50 }, (_, index) => index), ...stream(100, 10, 51).arrivalsMs];
    const streams = [{ arrivalsMs: fastAlone, completionTokens: fastAlone.length }, stream(100, 10, 31)];
    expect(decodeTokensPerSecond(streams)).toBeCloseTo(200);
  });

  test("tokens that a server held back are counted with the event that brought them", () => {
    expect(decodeTokensPerSecond([stream(0, 10, 64, 128)])).toBeCloseTo(200);
  });

  test("streams that do not overlap give no figure", () => {
    expect(decodeTokensPerSecond([stream(0, 10, 10), stream(1000, 10, 10)])).toBeNaN();
  });
});

describe("statistics", () => {
  test("quantiles are interpolated", () => {
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(quantile([5], 0.9)).toBe(5);
    expect(quantile([], 0.5)).toBeNaN();
  });

  test("a ratio is formed within each repetition", () => {
    expect(pairedRatios([10, 30, 50], [20, 30, 100])).toEqual(summarise([0.5, 1, 0.5]));
  });
});

test("a seed gives the same prompt each time, and another seed another one", () => {
  const prompt = randomTokens(createRandom(7), 100);
  expect(randomTokens(createRandom(7), 100)).toEqual(prompt);
  expect(randomTokens(createRandom(8), 100)).not.toEqual(prompt);
  expect(Math.min(...prompt)).toBeGreaterThanOrEqual(1000);
});
