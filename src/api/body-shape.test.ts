import { describe, expect, test } from "vitest";
import { createTestApp } from "../../test/support/api-request.ts";
import { checkBodyShape, maxBodyDepth, maxBodyValues } from "./body-shape.ts";

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { value };
  return value;
}

describe("checkBodyShape", () => {
  test("depth", () => {
    checkBodyShape(nested(maxBodyDepth));
    expect(() => checkBodyShape(nested(maxBodyDepth + 1))).toThrow("nested more than 64 levels");
    expect(() => checkBodyShape(nested(100_000))).toThrow("nested more than 64 levels");
  });

  test("values, without the numbers of lists", () => {
    checkBodyShape({ prompt: Array.from({ length: 2 * maxBodyValues }, () => 1) });
    checkBodyShape(Array.from({ length: maxBodyValues }, () => "x"));
    expect(() => checkBodyShape(Array.from({ length: maxBodyValues + 1 }, () => null))).toThrow(
      "more than 100000 values",
    );
    const biases = Object.fromEntries(Array.from({ length: maxBodyValues + 1 }, (_, key) => [key, 1]));
    expect(() => checkBodyShape(biases)).toThrow("more than 100000 values");
  });

  test.each(["5", "null", "true", '"text"'])("a body that is only %s", (text) => {
    checkBodyShape(JSON.parse(text));
  });
});

test("a deeply nested value in a request is the client's error, not the server's", async () => {
  const deep = `${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`;
  const body = `{"messages":[{"role":"user","content":"Hi"}],"chat_template_kwargs":{"deep":${deep}}}`;
  const { postError } = createTestApp();
  for (const path of ["/v1/chat/completions", "/tokenize"]) {
    expect(await postError(path, body)).toMatchObject({ status: 400, code: "invalid_request" });
  }
});
