import { describe, expect, test } from "vitest";
import { greedy } from "../testing/requests.ts";
import type { SamplingParams } from "../types.ts";
import { continuedSeed, decisiveTokens, describeChain, librarySeed } from "./chain.ts";

const neutral: SamplingParams = { ...greedy, temperature: 1 };
const context = { contextTokens: 2048, suppressedTokens: [], seed: 5 };
const kinds = (sampling: Partial<SamplingParams>): string[] =>
  describeChain({ ...neutral, ...sampling }, context).map((link) => link.kind);

describe("describeChain", () => {
  test("leaves neutral samplers out", () => {
    expect(describeChain(neutral, context)).toEqual([{ kind: "dist", seed: 5 }]);
    expect(kinds({ temperature: 0 })).toEqual(["greedy"]);
  });

  test("keeps llama-server's order", () => {
    const all: Partial<SamplingParams> = {
      temperature: 0.7,
      topK: 40,
      topP: 0.9,
      minP: 0.05,
      typicalP: 0.8,
      repeatPenalty: 1.1,
      logitBias: [{ token: 3, bias: 2 }],
    };
    expect(kinds(all)).toEqual([
      "logit-bias",
      "penalties",
      "top-k",
      "typical",
      "top-p",
      "min-p",
      "temperature",
      "dist",
    ]);
  });

  test("a greedy chain keeps what can change the most probable token", () => {
    expect(kinds({ temperature: 0, topK: 40, topP: 0.5, minP: 0.1, presencePenalty: 1 })).toEqual([
      "penalties",
      "greedy",
    ]);
    expect(kinds({ temperature: 0, typicalP: 0.5 })).toEqual(["typical", "greedy"]);
  });

  test("any of the three penalties switches them on, a window of 0 off", () => {
    expect(kinds({ frequencyPenalty: 0.1 })).toContain("penalties");
    expect(kinds({ presencePenalty: -0.1 })).toContain("penalties");
    expect(kinds({ repeatPenalty: 1.3, repeatLastN: 0 })).not.toContain("penalties");
  });

  test("a window of -1 is the whole context", () => {
    const [link] = describeChain({ ...neutral, repeatPenalty: 1.3, repeatLastN: -1 }, context);
    expect(link).toEqual({ kind: "penalties", lastN: 2048, repeat: 1.3, frequency: 0, presence: 0 });
  });

  test("bans the tokens that the model's file suppresses", () => {
    const [link] = describeChain(
      { ...neutral, logitBias: [{ token: 1, bias: 4 }] },
      { ...context, suppressedTokens: [9] },
    );
    expect(link).toEqual({
      kind: "logit-bias",
      biases: [
        { token: 1, bias: 4 },
        { token: 9, bias: -Infinity },
      ],
    });
  });
});

describe("decisiveTokens", () => {
  const of = (sampling: Partial<SamplingParams>): number | null =>
    decisiveTokens(describeChain({ ...neutral, ...sampling }, context));

  test("is 1 for greedy and k for top-k", () => {
    expect(of({ temperature: 0 })).toBe(1);
    expect(of({ topK: 40, topP: 0.9 })).toBe(40);
  });

  test("is unknown when something before changes the order", () => {
    expect(of({ topK: 40, repeatPenalty: 1.1 })).toBeNull();
    expect(of({ temperature: 0, logitBias: [{ token: 1, bias: 9 }] })).toBeNull();
    expect(of({ topP: 0.9 })).toBeNull();
  });
});

describe("continuedSeed", () => {
  test("is the seed at first and differs after each token", () => {
    expect(continuedSeed(42, 0)).toBe(42);
    const seeds = Array.from({ length: 100 }, (_, generated) => continuedSeed(42, generated));
    expect(new Set(seeds).size).toBe(100);
    expect(continuedSeed(42, 7)).toBe(continuedSeed(42, 7));
  });

  test("is one that the library takes", () => {
    for (let generated = 0; generated < 1000; generated++) {
      const seed = continuedSeed(generated * 7919, generated);
      expect(librarySeed(seed)).toBe(seed);
    }
  });
});

describe("librarySeed", () => {
  test("is 32 bits and never the library's word for a random one", () => {
    expect(librarySeed(42)).toBe(42);
    expect(librarySeed(2 ** 32 + 5)).toBe(5);
    expect(librarySeed(-1)).toBe(0xfffffffe);
  });
});
