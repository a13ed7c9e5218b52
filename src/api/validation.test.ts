import { describe, expect, test } from "vitest";
import { z } from "zod";
import { formatPath, validate } from "./validation.ts";

const schema = z.object({
  n: z.number().min(1).lt(5).nullish(),
  kind: z.enum(["a", "b"]).nullish(),
  list: z.union([z.string(), z.array(z.int()), z.array(z.array(z.int()))]).nullish(),
});

function messageOf(body: unknown): string {
  try {
    validate(schema, body);
  } catch (error) {
    return (error as Error).message;
  }
  return "valid";
}

describe("validate", () => {
  test.each<[unknown, string]>([
    [{}, "valid"],
    [{ n: null, unknown: 1 }, "valid"],
    [5, "the body must be an object, but it is 5"],
    [[], "the body must be an object, but it is a list of 0"],
    [null, "the body must be an object, but it is null"],
    [{ n: 0 }, "n must be at least 1, but it is 0"],
    [{ n: 5 }, "n must be less than 5, but it is 5"],
    [{ n: Number.NaN }, "n must be a number, but it is null"],
    [{ kind: "c" }, 'kind must be "a" or "b", but it is "c"'],
    [{ list: 5 }, "list must be a string or a list, but it is 5"],
    [{ list: {} }, "list must be a string or a list, but it is an object"],
    [{ list: [1, "x"] }, 'list[1] must be a number, but it is "x"'],
    [{ list: [[1], [2, "x"]] }, 'list[1][1] must be a number, but it is "x"'],
  ])("%j: %s", (body, message) => {
    expect(messageOf(body)).toBe(message);
  });

  test("long values are cut", () => {
    expect(messageOf({ kind: "x".repeat(1000) }).length).toBeLessThan(150);
    expect(messageOf({ kind: "x".repeat(1000) })).toContain("… (1002 characters)");
  });

  test("a deeply nested value is not walked", () => {
    let deep: unknown = 1;
    for (let level = 0; level < 100_000; level++) deep = { deep };
    expect(messageOf({ kind: deep })).toContain("but it is an object");
  });
});

test("formatPath", () => {
  expect(formatPath(["messages", 0, "content", 2, "text"])).toBe("messages[0].content[2].text");
});
