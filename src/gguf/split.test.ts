import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { buildGguf, smallMetadata } from "./gguf-file.case.ts";
import { parseSplitName, readGgufModel, toSplitName } from "./split.ts";

const directory = mkdtempSync(join(tmpdir(), "inkstone-split-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function part(name: string, index: number, count: number): string {
  const path = join(directory, name);
  const split = {
    "split.no": { type: "u32", value: index },
    "split.count": { type: "u32", value: count },
  } as const;
  writeFileSync(path, buildGguf({ metadata: index === 0 ? { ...smallMetadata, ...split } : split }));
  return path;
}

test("names of parts are taken apart and made", () => {
  expect(parseSplitName("m-q4-00002-of-00003.gguf")).toEqual({ prefix: "m-q4", number: 2, count: 3 });
  expect(parseSplitName("m-00004-of-00003.gguf")).toBeNull();
  expect(parseSplitName("m.gguf")).toBeNull();
  expect(toSplitName("m-q4", 2, 3)).toBe("m-q4-00002-of-00003.gguf");
});

test("the parts of a model are read together", () => {
  const paths = [part("a.gguf", 0, 2), part("b.gguf", 1, 2)];
  const model = readGgufModel(paths);
  expect(model.header.architecture).toBe("llama");
  expect(model.parameterCount).toBe(64);
  expect(model.sizeBytes).toBeGreaterThan(model.header.fileSizeBytes);
});

test("parts that are missing or out of order are refused", () => {
  const a = part("c.gguf", 0, 2);
  const b = part("d.gguf", 1, 2);
  expect(() => readGgufModel([a])).toThrow(/model of 2 files, but 1 were given/);
  expect(() => readGgufModel([b, a])).toThrow(/should be part 1 of 2, but says 2 of 2/);
  expect(() => readGgufModel([])).toThrow(/without files/);
});
