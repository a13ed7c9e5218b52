import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createStopMatcher } from "./stop-strings.ts";

/** The stop that is complete first, the longest of those, looked for in the whole text at once. */
function naiveSearch(text: string, stops: readonly string[]): { before: string; stop: string } | null {
  const byLength = stops.filter((stop) => stop !== "").toSorted((a, b) => b.length - a.length);
  for (let end = 1; end <= text.length; end++) {
    const stop = byLength.find((candidate) => text.slice(0, end).endsWith(candidate));
    if (stop !== undefined) return { before: text.slice(0, end - stop.length), stop };
  }
  return null;
}

function naiveHeldLength(text: string, stops: readonly string[]): number {
  for (let length = text.length; length > 0; length--) {
    const end = text.slice(text.length - length);
    if (stops.some((stop) => stop.length > length && stop.startsWith(end))) return length;
  }
  return 0;
}

const letters = fc.string({ unit: fc.constantFrom("a", "b", "c", "🙂"), maxLength: 5 });
const pieces = fc.array(letters, { maxLength: 12 });
const stops = fc.array(letters, { maxLength: 4 });

describe("createStopMatcher", () => {
  test("finds what a search of the whole text finds, and holds back no more than it must", () => {
    fc.assert(
      fc.property(pieces, stops, (chunks, stopList) => {
        const matcher = createStopMatcher(stopList);
        const expected = naiveSearch(chunks.join(""), stopList);
        let seen = "";
        let given = "";
        let matched: string | null = null;
        for (const chunk of chunks) {
          const result = matcher.push(chunk);
          seen += chunk;
          given += result.text;
          if (result.matched !== null) {
            matched = result.matched;
            expect(given + result.matched + result.rest).toBe(seen);
            break;
          }
          expect(seen.length - given.length).toBe(naiveHeldLength(seen, stopList));
          expect(given).toBe(seen.slice(0, given.length));
        }
        expect(matched).toBe(expected?.stop ?? null);
        expect(given + matcher.flush()).toBe(expected?.before ?? chunks.join(""));
      }),
      { numRuns: 3000 },
    );
  });

  test("a stop string across three tokens", () => {
    const matcher = createStopMatcher(["</answer>"]);
    expect(matcher.push("yes </an")).toEqual({ text: "yes ", matched: null, rest: "" });
    expect(matcher.push("sw")).toEqual({ text: "", matched: null, rest: "" });
    expect(matcher.push("er> more")).toEqual({ text: "", matched: "</answer>", rest: " more" });
    expect(matcher.push("x")).toEqual({ text: "", matched: null, rest: "" });
    expect(matcher.flush()).toBe("");
  });

  test("what looked like a stop string is given out when it is none", () => {
    const matcher = createStopMatcher(["aab"]);
    expect(matcher.push("aa").text).toBe("");
    expect(matcher.push("a").text).toBe("a");
    expect(matcher.push("b").matched).toBe("aab");
  });

  test("includeStop gives out the stop string too", () => {
    const matcher = createStopMatcher(["\n\n"], { includeStop: true });
    expect(matcher.push("a\n").text).toBe("a");
    expect(matcher.push("\nb")).toEqual({ text: "\n\n", matched: "\n\n", rest: "b" });
  });

  test("of two that end together the longer one counts", () => {
    expect(createStopMatcher(["b", "ab"]).push("xab")).toMatchObject({ text: "x", matched: "ab" });
  });

  test("empty strings and half characters never match", () => {
    const matcher = createStopMatcher(["", "\uD83D"]);
    expect(matcher.push("a🙂")).toEqual({ text: "a🙂", matched: null, rest: "" });
  });

  test("a hostile stop string costs no more than its length", () => {
    const matcher = createStopMatcher(["a".repeat(10_000) + "b"]);
    let given = 0;
    for (let index = 0; index < 2_000; index++) given += matcher.push("a".repeat(100)).text.length;
    expect(given).toBe(190_000);
  });
});
