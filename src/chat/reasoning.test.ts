import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readTemplate } from "./fixtures/vocabulary.case.ts";
import { createReasoningSplitter } from "./reasoning-splitter.ts";
import { detectReasoningTags, endsInsideReasoning, leavesReasoningOpen } from "./reasoning-tags.ts";
import type { ReasoningMode } from "./reasoning-tags.ts";

const think: ReasoningMode = { tags: { open: "<think>", close: "</think>" }, startsInside: false };
const inside: ReasoningMode = { ...think, startsInside: true };
const ernie: ReasoningMode = {
  tags: { ...think.tags, contentOpen: "<response>", contentClose: "</response>" },
  startsInside: true,
};

function splitAll(mode: ReasoningMode, pieces: readonly string[]) {
  const splitter = createReasoningSplitter(mode);
  const parts = [...pieces.map((piece) => splitter.push(piece)), splitter.flush()];
  return {
    reasoning: parts.map(({ reasoning }) => reasoning).join(""),
    content: parts.map(({ content }) => content).join(""),
  };
}

describe("createReasoningSplitter", () => {
  test.each([
    ["tags", think, "<think>\nHm.\n</think>\n\nYes.", "Hm.", "Yes."],
    ["whitespace before the opening mark", think, "\n <think>a</think>b", "a", "b"],
    ["no reasoning", think, "  Just text.", "", "  Just text."],
    ["empty reasoning", think, "<think>\n\n</think>\n\nYes.", "", "Yes."],
    ["a mark inside the answer is text", think, "Write <think>x</think>.", "", "Write <think>x</think>."],
    ["an opening mark after the reasoning is text", think, "<think>a</think>b<think>c", "a", "b<think>c"],
    ["opened by the prompt", inside, "Hm.\n</think>\n\nYes.", "Hm.", "Yes."],
    ["never closed", inside, "Hm, </thin", "Hm, </thin", ""],
    ["an opening mark that is not finished", think, " <thi", "", " <thi"],
    ["ERNIE's answer marks", ernie, "Hm\n</think>\n\n<response>\nYes. \n</response>\n", "Hm", "Yes."],
    ["ERNIE without answer marks", ernie, "Hm</think>\n<respond", "Hm", "<respond"],
    ["ERNIE's answer cut off", ernie, "Hm</think><response>Yes </resp", "Hm", "Yes </resp"],
    ["spaces inside are kept", inside, "a \n b</think>c \n d ", "a \n b", "c \n d "],
  ])("%s", (_, mode, output, reasoning, content) => {
    expect(splitAll(mode, [output])).toEqual({ reasoning, content });
    expect(splitAll(mode, [...output])).toEqual({ reasoning, content });
  });

  test("the channels of gpt-oss", () => {
    const tags = detectReasoningTags("<|channel|>analysis<|message|> <|channel|>final");
    if (tags === null) throw new Error("no tags");
    const mode = { tags, startsInside: false };
    const output = "<|channel|>analysis<|message|>Hm.<|start|>assistant<|channel|>final<|message|>Yes.";
    expect(splitAll(mode, [...output])).toEqual({ reasoning: "Hm.", content: "Yes." });
    expect(splitAll(mode, ["<|channel|>final<|mess", "age|>Yes."])).toEqual({
      reasoning: "",
      content: "Yes.",
    });
  });

  test("how the output is cut makes no difference", () => {
    const piece = fc.constantFrom(
      "<think>",
      "</think>",
      "<response>",
      "</response>",
      " ",
      "\n",
      "a",
      "<",
      "</",
    );
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 }),
        fc.constantFrom(think, inside, ernie),
        (parts, lengths, mode) => {
          const output = parts.join("");
          const pieces: string[] = [];
          for (let start = 0, index = 0; start < output.length; index++) {
            const end = start + (lengths[index % lengths.length] ?? 1);
            pieces.push(output.slice(start, end));
            start = end;
          }
          expect(splitAll(mode, pieces)).toEqual(splitAll(mode, [output]));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("reasoning and answer stream before they are complete", () => {
    const splitter = createReasoningSplitter(inside);
    expect(splitter.push("Let me")).toEqual({ reasoning: "Let me", content: "" });
    expect(splitter.push(" see</th")).toEqual({ reasoning: " see", content: "" });
    expect(splitter.push("ink>\n\nIt")).toEqual({ reasoning: "", content: "It" });
    expect(splitter.push(" is")).toEqual({ reasoning: "", content: " is" });
  });
});

describe("detectReasoningTags", () => {
  test.each([
    ["smollm2", null],
    ["qwen2.5", null],
    ["llama-3", null],
    ["ernie-4.5", null],
    ["qwen3", { open: "<think>", close: "</think>" }],
    ["deepseek-r1", { open: "<think>", close: "</think>" }],
    ["ernie-4.5-thinking", ernie.tags],
  ])("%s", (name, tags) => {
    expect(detectReasoningTags(readTemplate(name))).toEqual(tags);
  });

  test.each([
    ["{{ '<|START_THINKING|>' }}", "<|START_THINKING|>"],
    ["{{ '[THINK]' + t + '[/THINK]' }}", "[THINK]"],
    ["<seed:think>", "<seed:think>"],
    ["<|channel>thought", "<|channel>thought"],
  ])("%s", (source, open) => {
    expect(detectReasoningTags(source)?.open).toBe(open);
  });
});

test("a prompt ends inside reasoning only when the mark is the last thing in it", () => {
  expect(endsInsideReasoning("…<think>\n", think.tags)).toBe(true);
  expect(endsInsideReasoning("…<think>\n\n</think>\n\n", think.tags)).toBe(false);
  expect(endsInsideReasoning("what is <think>?<|assistant|>", think.tags)).toBe(false);
});

test("an answer leaves reasoning open until it closes it", () => {
  expect(leavesReasoningOpen("<think>a", think.tags)).toBe(true);
  expect(leavesReasoningOpen("<think>a</think>b", think.tags)).toBe(false);
  expect(leavesReasoningOpen("a", think.tags)).toBe(false);
});
