import { expect, test } from "vitest";
import { byteVocabulary, smallVocabulary } from "./fixtures/vocabulary.case.ts";
import { toTokenText } from "./logprob-text.ts";

test("a token's text and bytes; control tokens are shown", () => {
  const vocabulary = smallVocabulary({ control: ["</s>"], pieces: [" 你"] });
  expect(toTokenText(vocabulary, 0)).toEqual({ token: "</s>", bytes: [60, 47, 115, 62] });
  expect(toTokenText(vocabulary, 1)).toEqual({ token: " 你", bytes: [32, 0xe4, 0xbd, 0xa0] });
});

test("part of a character shows as U+FFFD and keeps its byte", () => {
  expect(toTokenText(byteVocabulary(), 0xe4)).toEqual({ token: "\uFFFD", bytes: [0xe4] });
});

test("an id outside the vocabulary is an error", () => {
  expect(() => toTokenText(byteVocabulary(), 300)).toThrow("not in the vocabulary");
});
