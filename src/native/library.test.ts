import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { firstDifference, loadNative } from "./library.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "inkstone-native-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("loadNative", () => {
  test("names a directory that is not there", () => {
    const missing = path.join(directory, "nowhere");
    expect(() => loadNative({ directory: missing })).toThrow(
      expect.objectContaining({ code: "native_not_found", message: expect.stringContaining(missing) }),
    );
  });

  test("names the library that is not there", () => {
    writeFileSync(path.join(directory, "libggml-base.so"), "");
    expect(() => loadNative({ directory })).toThrow(
      expect.objectContaining({ code: "native_not_found", message: expect.stringContaining("ggml") }),
    );
  });

  test("names a file that is not a library", () => {
    for (const name of ["libggml-base.so", "libggml.so", "libllama.so"]) {
      writeFileSync(path.join(directory, name), "not a library");
    }
    expect(() => loadNative({ directory })).toThrow(
      expect.objectContaining({
        code: "native_not_found",
        message: expect.stringContaining("libggml-base.so"),
      }),
    );
  });
});

describe("firstDifference", () => {
  test("names the field with both values", () => {
    expect(firstDifference({ a: 1, b: true }, { a: 1, b: false, c: 3 })).toEqual({
      field: "b",
      expected: true,
      found: false,
    });
  });

  test("is null when all expected ones agree", () => {
    expect(firstDifference({ a: 1 }, { a: 1, c: 3 })).toBeNull();
  });
});
