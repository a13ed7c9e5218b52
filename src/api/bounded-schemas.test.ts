import { describe, expect, test } from "vitest";
import { z } from "zod";
import { boundedList, boundedRecord } from "./bounded-schemas.ts";

const list = boundedList(z.int(), { min: 1, max: 3 });
const record = boundedRecord(z.number(), { max: 2, key: /^[a-z]$/, keyMessage: "is no letter" });

function issuesOf(schema: z.ZodType, value: unknown) {
  const issues = schema.safeParse(value).error?.issues ?? [];
  return issues.map(({ code, path }) => [code, path]);
}

describe("boundedList", () => {
  test("gives what its entries give", () => {
    expect(list.parse([1, 2])).toEqual([1, 2]);
    expect(boundedList(z.string().transform(Number)).parse(["5"])).toEqual([5]);
  });

  test("tells of the first bad entry only", () => {
    expect(issuesOf(list, ["a", "b"])).toEqual([["invalid_type", [0]]]);
    expect(issuesOf(z.object({ a: list }), { a: [1, "b", "c"] })).toEqual([["invalid_type", ["a", 1]]]);
    const many = Array.from({ length: 2_000_000 }, () => "x");
    expect(issuesOf(boundedList(z.int()), many)).toHaveLength(1);
  });

  test("the length comes before the entries", () => {
    expect(issuesOf(list, [])).toEqual([["too_small", []]]);
    expect(issuesOf(list, ["a", "b", "c", "d"])).toEqual([["too_big", []]]);
    expect(issuesOf(list, "abc")).toEqual([["invalid_type", []]]);
    expect(issuesOf(z.object({ a: list }), {})).toEqual([["invalid_type", ["a"]]]);
  });
});

describe("boundedRecord", () => {
  test("gives its entries, and tells of the first bad one", () => {
    expect(record.parse({ a: 1, b: 2 })).toEqual({ a: 1, b: 2 });
    expect(issuesOf(record, { a: "x", b: "y" })).toEqual([["invalid_type", ["a"]]]);
    expect(issuesOf(record, { A: 1, B: 1 })).toEqual([["custom", ["A"]]]);
    expect(issuesOf(record, { a: 1, b: 2, c: 3 })).toEqual([["too_big", []]]);
    expect(issuesOf(record, [1])).toEqual([["invalid_type", []]]);
  });
});

test("both are described in JSON Schema", () => {
  expect(z.toJSONSchema(z.object({ list, record }), { io: "input" })).toMatchObject({
    properties: {
      list: { type: "array", items: { type: "integer" }, minItems: 1, maxItems: 3 },
      record: { type: "object", additionalProperties: { type: "number" }, maxProperties: 2 },
    },
  });
});
