import { describe, expect, test } from "vitest";
import { createByteVocabulary } from "../../../test/support/fake-vocabulary.ts";
import { checkPromptLength, checkTextSize, leastTokens } from "./context-limit.ts";

const vocabulary = createByteVocabulary();
const input = { noun: "prompt", param: "prompt" } as const;

describe("leastTokens", () => {
  test("is never above the true number", () => {
    expect(leastTokens(0, vocabulary)).toBe(0);
    expect(leastTokens(64, vocabulary)).toBe(1);
    expect(leastTokens(65, vocabulary)).toBe(2);
  });

  test("follows the longest piece where that is longer", () => {
    const pieces = Buffer.alloc(300, " ");
    const long = { ...vocabulary, nTokens: 2, pieces, offsets: Uint32Array.of(0, 1, 300) };
    expect(leastTokens(299, long)).toBe(1);
    expect(leastTokens(300, long)).toBe(2);
  });
});

describe("checks", () => {
  test("texts are summed in bytes", () => {
    checkTextSize(["é".repeat(32), "é".repeat(32)], vocabulary, 3, input);
    expect(() => checkTextSize(["é".repeat(32), "é".repeat(33)], vocabulary, 3, input)).toThrow(
      "resulted in at least 3 tokens",
    );
  });

  test("a prompt leaves room for one token, unless it may fill the window", () => {
    checkPromptLength(9, 10, input);
    expect(() => checkPromptLength(10, 10, input)).toThrow("length is 10 tokens");
    checkPromptLength(10, 10, input, { mayFill: true });
    expect(() => checkPromptLength(11, 10, input, { mayFill: true })).toThrow("resulted in 11 tokens");
  });
});
