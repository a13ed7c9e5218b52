import { describe, expect, test } from "vitest";
import { parserMessage } from "./grammar.ts";

describe("parserMessage", () => {
  test("is the first line of what the parser says", () => {
    expect(
      parserMessage('parse: error parsing grammar: expecting ::= at = "a"\nb ::= "c"\n\nroot = "a"\n'),
    ).toBe('expecting ::= at = "a"');
  });

  test("is cut when the grammar has no lines", () => {
    const message = parserMessage(`parse: error parsing grammar: expecting name at ${"x".repeat(500)}`);
    expect(message).toHaveLength(203);
    expect(message?.endsWith("...")).toBe(true);
  });

  test("is unknown when nothing was written", () => {
    expect(parserMessage("")).toBeNull();
  });
});
