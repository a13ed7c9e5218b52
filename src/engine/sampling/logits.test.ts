import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { argmax, logSumExp, topTokens, withLogprobs } from "./logits.ts";

const logitRows = fc
  .array(fc.float({ min: -50, max: 50, noNaN: true }), { minLength: 1, maxLength: 300 })
  .map((values) => Float32Array.from(values));

describe("argmax", () => {
  test("takes the lowest id of equal ones", () => {
    expect(argmax(Float32Array.of(1, 3, 3, 2))).toBe(1);
  });

  test("passes NaN and -Infinity by", () => {
    expect(argmax(Float32Array.of(Number.NaN, -Infinity, -5))).toBe(2);
    expect(argmax(Float32Array.of(-Infinity, -Infinity))).toBe(0);
  });
});

describe("logSumExp", () => {
  test("does not overflow", () => {
    expect(logSumExp(Float32Array.of(1000, 1000))).toBeCloseTo(1000 + Math.log(2), 5);
    expect(logSumExp(Float32Array.of(-1000, -1000))).toBeCloseTo(-1000 + Math.log(2), 5);
    expect(logSumExp(Float32Array.of(-Infinity, -Infinity))).toBe(-Infinity);
  });
});

describe("topTokens", () => {
  test("agrees with a full sort", () => {
    fc.assert(
      fc.property(logitRows, fc.integer({ min: 0, max: 400 }), (logits, count) => {
        const sorted = [...logits.keys()].sort(
          (a, b) => (logits[b] as number) - (logits[a] as number) || a - b,
        );
        expect(topTokens(logits, count)).toEqual(sorted.slice(0, count));
      }),
    );
  });

  test("keeps the lowest ids of equal ones", () => {
    expect(topTokens(Float32Array.of(1, 1, 1, 1, 2), 3)).toEqual([4, 0, 1]);
  });

  test("sorts -Infinity last", () => {
    expect(topTokens(Float32Array.of(-Infinity, 1, -Infinity), 2)).toEqual([1, 0]);
  });
});

describe("withLogprobs", () => {
  test("probabilities of all tokens sum to 1", () => {
    fc.assert(
      fc.property(logitRows, (logits) => {
        const { top = [] } = withLogprobs(logits, 0, logits.length);
        const sum = top.reduce((total, { logprob }) => total + Math.exp(logprob), 0);
        expect(sum).toBeCloseTo(1, 6);
      }),
    );
  });

  test("gives the token's own even when it is not among the best", () => {
    const { token, logprob, top } = withLogprobs(Float32Array.of(0, 5, 4), 0, 1);
    expect(token).toBe(0);
    expect(top?.map((entry) => entry.token)).toEqual([1]);
    expect(logprob).toBeLessThan(top?.[0]?.logprob ?? 0);
  });
});
