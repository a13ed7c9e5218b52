import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { byteVocabulary, smallVocabulary } from "./fixtures/vocabulary.case.ts";
import { createOutputStream } from "./output-stream.ts";
import type { OutputStream } from "./output-stream.ts";
import type { ReasoningMode } from "./reasoning-tags.ts";

const think: ReasoningMode = { tags: { open: "<think>", close: "</think>" }, startsInside: false };
const bytesOf = (text: string): number[] => [...Buffer.from(text)];

function runAll(stream: OutputStream, tokenLists: readonly (readonly number[])[]) {
  const deltas = [...tokenLists.map((tokens) => stream.push(tokens)), stream.finish()];
  return {
    content: deltas.map(({ content }) => content).join(""),
    reasoning: deltas.map(({ reasoning }) => reasoning).join(""),
    stopped: deltas.at(-1)?.stopped ?? null,
    usedTokens: deltas.reduce((sum, { usedTokens }) => sum + usedTokens, 0),
  };
}

describe("createOutputStream", () => {
  test("plain text comes as it is", () => {
    const stream = createOutputStream(byteVocabulary());
    expect(stream.push(bytesOf("Hi 你"))).toEqual({
      content: "Hi 你",
      reasoning: "",
      stopped: null,
      usedTokens: 6,
    });
    expect(stream.push(bytesOf("🙂!"))).toMatchObject({ content: "🙂!" });
    expect(stream.finish()).toMatchObject({ content: "", stopped: null });
  });

  test("a stop string ends the output among the pushed tokens", () => {
    const stream = createOutputStream(byteVocabulary(), { stops: ["END"] });
    expect(stream.push(bytesOf("abE"))).toMatchObject({ content: "ab", stopped: null });
    expect(stream.push(bytesOf("NDxyz"))).toMatchObject({ content: "", stopped: "END", usedTokens: 2 });
    expect(stream.push(bytesOf("more"))).toMatchObject({ content: "", usedTokens: 0, stopped: "END" });
    expect(stream.finish()).toMatchObject({ content: "", stopped: "END" });
  });

  test("stop strings do not apply to reasoning", () => {
    const stream = createOutputStream(byteVocabulary(), { stops: ["END"], reasoning: think });
    const output = runAll(stream, [bytesOf("<think>the END is near</think>\nThe END.")]);
    expect(output).toMatchObject({ reasoning: "the END is near", content: "The ", stopped: "END" });
  });

  test("what was held back comes at the end", () => {
    const stream = createOutputStream(byteVocabulary(), { stops: ["END"], reasoning: think });
    expect(stream.push(bytesOf(" <thi")).content).toBe("");
    expect(stream.finish()).toMatchObject({ content: " <thi", stopped: null });
    const other = createOutputStream(byteVocabulary(), { stops: ["END"] });
    expect(other.push([...bytesOf("aEN"), 0xf0]).content).toBe("a");
    expect(other.finish().content).toBe("EN\uFFFD");
  });

  test("a stop string in text that only the end sets free still counts", () => {
    const stream = createOutputStream(byteVocabulary(), { stops: ["<th"], reasoning: think });
    stream.push(bytesOf("<thi"));
    expect(stream.finish()).toMatchObject({ content: "", stopped: "<th" });
  });

  test("reasoning marks that are control tokens are seen, and not shown", () => {
    const vocabulary = smallVocabulary({
      control: ["<|START_THINKING|>", "<|END_THINKING|>", "<|END|>"],
      pieces: ["Hm", "Yes"],
      endOfGeneration: [2],
    });
    const reasoning: ReasoningMode = {
      tags: { open: "<|START_THINKING|>", close: "<|END_THINKING|>" },
      startsInside: false,
    };
    const output = runAll(createOutputStream(vocabulary, { reasoning }), [[0], [3], [1], [4], [2]]);
    expect(output).toMatchObject({ reasoning: "Hm", content: "Yes" });
    expect(runAll(createOutputStream(vocabulary), [[0], [3], [1], [4], [2]]).content).toBe("HmYes");
  });

  test("how tokens are grouped makes no difference", () => {
    const piece = fc.constantFrom("<think>", "</think>", "END", "EN", "你", "🙂", " ", "a");
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 10 }),
        fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1 }),
        fc.boolean(),
        (pieces, sizes, includeStop) => {
          const tokens = bytesOf(pieces.join(""));
          const groups: number[][] = [];
          for (let start = 0, index = 0; start < tokens.length; index++) {
            const end = start + (sizes[index % sizes.length] ?? 1);
            groups.push(tokens.slice(start, end));
            start = end;
          }
          const options = { stops: ["END"], includeStop, reasoning: think };
          const together = runAll(createOutputStream(byteVocabulary(), options), [tokens]);
          const apart = runAll(createOutputStream(byteVocabulary(), options), groups);
          expect(apart).toEqual(together);
        },
      ),
      { numRuns: 300 },
    );
  });
});
