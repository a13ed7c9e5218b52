import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createDetokenizer, detokenize } from "./detokenizer.ts";
import { byteVocabulary, smallVocabulary } from "./fixtures/vocabulary.case.ts";

/** Cuts bytes into pieces; each becomes a token of a vocabulary of its own. */
function cut(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let start = 0;
  for (let index = 0; start < bytes.length; index++) {
    const end = start + (lengths[index % lengths.length] ?? 1);
    pieces.push(bytes.slice(start, end));
    start = end;
  }
  return pieces;
}

const lengths = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 8 });
const text = fc.string({ unit: "binary", maxLength: 60 });

describe("createDetokenizer", () => {
  test("any cut of any text's bytes gives the text, and no chunk holds half a character", () => {
    fc.assert(
      fc.property(text, lengths, (whole, cuts) => {
        const pieces = cut(Buffer.from(whole), cuts);
        const detokenizer = createDetokenizer(smallVocabulary({ pieces }));
        const chunks = pieces.map((_, token) => detokenizer.push([token]));
        for (const chunk of chunks) {
          expect(chunk).not.toMatch(/\p{Surrogate}/u);
          if (!whole.includes("\uFFFD")) expect(chunk).not.toContain("\uFFFD");
        }
        expect(chunks.join("") + detokenizer.flush()).toBe(whole);
      }),
      { numRuns: 1000 },
    );
  });

  test("any bytes become what a decoder makes of them all at once", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), lengths, (bytes, cuts) => {
        const pieces = cut(bytes, cuts);
        const detokenizer = createDetokenizer(smallVocabulary({ pieces }));
        const chunks = pieces.map((_, token) => detokenizer.push([token]));
        const expected = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
        expect(chunks.join("") + detokenizer.flush()).toBe(expected);
      }),
      { numRuns: 1000 },
    );
  });

  test("an emoji comes with its last byte", () => {
    const detokenizer = createDetokenizer(byteVocabulary());
    const chunks = [...Buffer.from("🙂")].map((byte) => detokenizer.push([byte]));
    expect(chunks).toEqual(["", "", "", "🙂"]);
  });

  test("an unfinished character becomes U+FFFD when it can no longer be finished", () => {
    const detokenizer = createDetokenizer(byteVocabulary());
    expect(detokenizer.push([0xe4, 0xbd])).toBe("");
    expect(detokenizer.push([0x61])).toBe("\uFFFDa");
    expect(detokenizer.push([0xf0])).toBe("");
    expect(detokenizer.flush()).toBe("\uFFFD");
    expect(detokenizer.push([0x62])).toBe("b");
  });

  test("control and end tokens are hidden unless asked for", () => {
    const vocabulary = smallVocabulary({
      control: ["<s>", "[THINK]"],
      pieces: ["a", "<end>"],
      endOfGeneration: [3],
    });
    const tokens = [0, 1, 2, 3];
    expect(createDetokenizer(vocabulary).push(tokens)).toBe("a");
    expect(createDetokenizer(vocabulary, { includeControl: true }).push(tokens)).toBe("<s>[THINK]a<end>");
    expect(createDetokenizer(vocabulary, { visibleTokens: new Set([1]) }).push(tokens)).toBe("[THINK]a");
  });

  test("an id outside the vocabulary is an error", () => {
    const detokenizer = createDetokenizer(byteVocabulary());
    for (const token of [256, -1, 1.5]) {
      expect(() => detokenizer.push([token])).toThrow(
        `token ${token} is not in the vocabulary of 256 tokens`,
      );
    }
  });
});

describe("the space before a text", () => {
  const spaced = (metadata: Record<string, string>) =>
    smallVocabulary({ control: ["<s>"], pieces: [" Hello", " world"], metadata });

  test("is removed where SentencePiece put one, also after BOS", () => {
    const vocabulary = spaced({ "tokenizer.ggml.model": "llama" });
    expect(detokenize(vocabulary, [1, 2])).toBe("Hello world");
    expect(detokenize(vocabulary, [0, 1, 2])).toBe("Hello world");
  });

  test("stays in text that goes on from a prompt", () => {
    expect(createDetokenizer(spaced({ "tokenizer.ggml.model": "llama" })).push([1])).toBe(" Hello");
  });

  test("stays where the tokeniser adds none", () => {
    expect(detokenize(spaced({ "tokenizer.ggml.model": "gpt2" }), [1])).toBe(" Hello");
    const off = { "tokenizer.ggml.model": "llama", "tokenizer.ggml.add_space_prefix": "false" };
    expect(detokenize(spaced(off), [1])).toBe(" Hello");
  });
});
