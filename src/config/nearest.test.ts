import { expect, test } from "vitest";

import { didYouMean, nearestWord } from "./nearest.ts";

test.each([
  ["sevre", "serve"],
  ["PULL", "pull"],
  ["confg", "config"],
  ["doc", "doctor"],
])("%s means %s", (word, expected) => {
  expect(nearestWord(word, ["serve", "run", "pull", "config", "doctor"])).toBe(expected);
});

test.each(["", "xyzzy", "a"])("%j is near to nothing", (word) => {
  expect(nearestWord(word, ["serve", "pull", "config"])).toBeNull();
  expect(didYouMean(word, ["serve", "pull", "config"])).toBe("");
});

test("no candidates, no word", () => {
  expect(nearestWord("serve", [])).toBeNull();
});
