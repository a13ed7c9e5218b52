import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createControlTextGuard } from "./control-text.ts";
import { renderGuarded } from "./guarded-render.ts";

const texts = ["<a>", "<ab>", "[x]"];
const mark = (text: string): string => `{${text}}`;

describe("createControlTextGuard", () => {
  const guard = createControlTextGuard(texts);

  test("a value that is nested too deeply is refused", () => {
    const nested = (depth: number): unknown => JSON.parse("[".repeat(depth) + "]".repeat(depth));
    expect(guard.map(nested(64), mark)).toEqual(nested(64));
    for (const depth of [65, 100_000]) {
      expect(() => guard.map(nested(depth), mark)).toThrow("nested more than 64 levels");
    }
  });

  test.each([
    ["none", "none"],
    ["1<a>2<ab>3", "1{<a>}2{<ab>}3"],
    ["<a><ab>", "{<a>}{<ab>}"],
    ["[x", "{[x}"],
    ["x] ", "{x]} "],
    ["a < b", "a < b"],
  ])("%s", (text, expected) => {
    expect(guard.map(text, mark)).toBe(expected);
  });

  test("the longest of several counts", () => {
    expect(createControlTextGuard(["<a>", "<a>>"]).map("1<a>>2", mark)).toBe("1{<a>>}2");
  });

  test("walks values and keys, and leaves what is no text", () => {
    expect(guard.map({ "<a>": [1, null, true, "[x]"] }, mark)).toEqual({ "{<a>}": [1, null, true, "{[x]}"] });
  });

  test("without control texts nothing changes", () => {
    expect(createControlTextGuard([]).map({ a: "<a>" }, mark)).toEqual({ a: "<a>" });
  });
});

test("no joining of strings puts a control text into a trusted segment", () => {
  const guard = createControlTextGuard(texts);
  const piece = fc.string({ unit: fc.constantFrom("<", "a", "b", ">", "[", "x", "]", " "), maxLength: 8 });
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 5 }), (strings) => {
      // Single characters may still meet; a dash stands for what a template writes between two messages.
      const segments = renderGuarded((replace) => strings.map((text) => guard.map(text, replace)).join("-"));
      expect(segments.map(({ text }) => text).join("")).toBe(strings.join("-"));
      for (const { text, parseSpecial } of segments) {
        if (!parseSpecial) continue;
        for (const control of texts) expect(text).not.toContain(control);
      }
    }),
    { numRuns: 2000 },
  );
});
