import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createPathSource } from "./path.ts";

const directory = mkdtempSync(join(tmpdir(), "inkstone-path-"));
const source = createPathSource({ directory, homeDir: directory });
beforeAll(() => {
  mkdirSync(join(directory, "models"));
  mkdirSync(join(directory, "empty"));
  for (const name of ["Qwen-7B-Q4_K_M.gguf", "s-00001-of-00003.gguf", "s-00002-of-00003.gguf", "plain"]) {
    writeFileSync(join(directory, "models", name), "12345");
  }
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const at = (name: string): string => join(directory, "models", name);

test.each([
  "models/Qwen-7B-Q4_K_M.gguf",
  "./models/Qwen-7B-Q4_K_M.gguf",
  "~/models/Qwen-7B-Q4_K_M.gguf",
  at("Qwen-7B-Q4_K_M.gguf"),
])("%s is found", async (reference) => {
  expect(source.accepts(reference)).toBe(true);
  expect(await source.resolve(reference, {})).toEqual({
    reference,
    name: "Qwen-7B-Q4_K_M",
    paths: [at("Qwen-7B-Q4_K_M.gguf")],
    sizeBytes: 5,
  });
});

test("a file without the ending works too; names and other schemes are no paths", () => {
  expect(source.accepts("models/plain")).toBe(true);
  expect(source.accepts("smollm2-135m")).toBe(false);
  expect(source.accepts("hf:org/repo")).toBe(false);
});

test("any part of a split model stands for all, and a missing one is named", async () => {
  const missing = source.resolve("models/s-00002-of-00003.gguf", {});
  await expect(missing).rejects.toMatchObject({
    code: "model_file_missing",
    message: expect.stringMatching(/lacks s-00003-of-00003\.gguf/),
  });
  writeFileSync(at("s-00003-of-00003.gguf"), "123");
  const model = await source.resolve("models/s-00002-of-00003.gguf", {});
  expect(model).toMatchObject({ name: "s", sizeBytes: 13 });
  expect(model.paths).toEqual([1, 2, 3].map((part) => at(`s-0000${part}-of-00003.gguf`)));
});

test.each([
  ["models/qwen-7b-q4_k_s.gguf", /Did you mean Qwen-7B-Q4_K_M\.gguf\?/],
  ["models/Qwen-7B", /Did you mean Qwen-7B-Q4_K_M\.gguf\?/],
  ["models/nothing-like-it-at-all.gguf", /does not exist\.$/],
  ["nowhere/m.gguf", /nor does its directory/],
  ["models/", /is a directory; name one of its files: Qwen-7B-Q4_K_M\.gguf, s-00001-of-00003\.gguf\./],
  ["./empty", /directory without \.gguf files/],
])("%s is refused helpfully", async (reference, message) => {
  await expect(source.resolve(reference, {})).rejects.toMatchObject({
    code: "model_file_missing",
    message: expect.stringMatching(message),
  });
});
