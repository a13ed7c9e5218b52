import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { InkstoneError } from "../errors.ts";
import { buildGguf, smallMetadata } from "./gguf-file.case.ts";
import { readGgufHeader } from "./header.ts";

const directory = mkdtempSync(join(tmpdir(), "inkstone-gguf-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let nFiles = 0;
function write(bytes: Uint8Array): string {
  const path = join(directory, `${(nFiles += 1)}.gguf`);
  writeFileSync(path, bytes);
  return path;
}

function failure(bytes: Uint8Array): InkstoneError {
  const path = write(bytes);
  try {
    readGgufHeader(path);
  } catch (error) {
    expect(error).toBeInstanceOf(InkstoneError);
    return error as InkstoneError;
  }
  throw new Error("the file was accepted");
}

describe("a whole file", () => {
  test("is described", () => {
    const header = readGgufHeader(write(buildGguf()));
    expect(header).toMatchObject({
      version: 3,
      architecture: "llama",
      name: "Small",
      fileType: "F16",
      contextLength: 2048,
      vocabularySize: 3,
      hasChatTemplate: true,
      split: null,
      parameterCount: 32,
      tensorBytes: 128,
      tensorTypes: { F32: 2 },
    });
    expect(header.dataOffset % 32).toBe(0);
    expect(header.dataOffset + 128).toBe(header.fileSizeBytes);
    expect(header.metadata.get("llama.rope.freq_base")).toBe(10_000);
    expect(header.arrayLengths.get("tokenizer.ggml.token_type")).toBe(3);
    expect(header.tensors[1]).toMatchObject({ name: "output_norm.weight", shape: [8], offset: 96 });
  });

  test("of version 2 is read", () => {
    expect(readGgufHeader(write(buildGguf({ version: 2 }))).version).toBe(2);
  });

  test("sizes follow from the tensor type's blocks", () => {
    const tensors = [{ name: "w", shape: [256, 2], typeId: 12 }];
    const [tensor] = readGgufHeader(write(buildGguf({ tensors }))).tensors;
    expect(tensor).toMatchObject({ type: "Q4_K", sizeBytes: 288, elementCount: 512 });
  });

  test("values wider than the read window are read", () => {
    const template = "x".repeat(3_000_000);
    const metadata = {
      ...smallMetadata,
      "tokenizer.chat_template": { type: "string", value: template },
      "tokenizer.ggml.merges": { type: "strings", value: Array.from({ length: 200_000 }, (_, i) => `a${i}`) },
    } as const;
    const header = readGgufHeader(write(buildGguf({ metadata })));
    expect(header.metadata.get("tokenizer.chat_template")).toBe(template);
    expect(header.arrayLengths.get("tokenizer.ggml.merges")).toBe(200_000);
    expect(header.tensors).toHaveLength(2);
  });

  test("of a split model says which part it is", () => {
    const part = (index: number, count: number): Buffer =>
      buildGguf({
        metadata: { "split.no": { type: "u32", value: index }, "split.count": { type: "u32", value: count } },
      });
    expect(readGgufHeader(write(part(1, 3))).split).toEqual({ index: 1, count: 3 });
    expect(failure(part(3, 3)).code).toBe("model_file_invalid");
  });
});

describe("a file that is not whole", () => {
  test("inside the weights: both sizes are named", () => {
    const whole = buildGguf();
    const error = failure(whole.subarray(0, whole.length - 1));
    expect(error.code).toBe("model_file_truncated");
    expect(error.message).toContain(`${whole.length - 1} bytes`);
    expect(error.message).toContain(`need ${whole.length}`);
  });

  test("at any place: never accepted, always said", () => {
    const whole = buildGguf();
    for (let length = 0; length < whole.length; length += 1) {
      const { code } = failure(whole.subarray(0, length));
      expect(code).toBe(length < 4 ? "model_file_invalid" : "model_file_truncated");
    }
  });
});

describe("a file that is something else", () => {
  test.each([
    ["", "empty"],
    ["<!DOCTYPE html><html>", "HTML page"],
    ["version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"],
    ["PK\u0003\u0004................", "zip archive"],
    ['\u0010\0\0\0\0\0\0\0{"a":1}', "safetensors"],
    ["\0\0\0\0\0\0\0\0", "zeros"],
    ["nope, not this", "6e6f7065"],
  ])("%j is recognised", (start, said) => {
    const error = failure(Buffer.from(start, "latin1"));
    expect(error.code).toBe("model_file_invalid");
    expect(error.message).toContain(said);
  });

  test("a newer version: both numbers are named", () => {
    const error = failure(buildGguf({ version: 4 }));
    expect(error.code).toBe("model_version_unsupported");
    expect(error.message).toMatch(/version 4; .* 2 and 3; the file is newer\.$/);
  });

  test("version 1 is too old", () => {
    const error = failure(buildGguf({ version: 1 }));
    expect(error.code).toBe("model_version_unsupported");
    expect(error.message).toMatch(/version 1; .* 2 and 3; the file is older: convert the model again\.$/);
  });

  test("big-endian is recognised", () => {
    const error = failure(buildGguf({ version: 0x03000000 }));
    expect(error.code).toBe("model_file_invalid");
    expect(error.message).toContain("big-endian");
  });

  test("a tensor type of the future", () => {
    const error = failure(buildGguf({ tensors: [{ name: "w", shape: [32], typeId: 99 }] }));
    expect(error.code).toBe("model_version_unsupported");
    expect(error.message).toMatch(/type 99; .* up to 42/);
  });

  test("a missing file and a directory", () => {
    expect(() => readGgufHeader(join(directory, "none.gguf"))).toThrow(
      expect.objectContaining({ code: "model_file_missing" }),
    );
    const path = join(directory, "folder.gguf");
    mkdirSync(path);
    expect(() => readGgufHeader(path)).toThrow(expect.objectContaining({ code: "model_file_invalid" }));
  });
});

describe("a hostile header", () => {
  test.each([
    ["tensor count", 8],
    ["metadata count", 16],
    ["a key's length", 24],
  ])("with a huge %s is refused", (_what, offset) => {
    for (const value of [2n ** 64n - 1n, 2n ** 53n, 2n ** 31n]) {
      const bytes = buildGguf();
      bytes.writeBigUInt64LE(value, offset);
      expect(failure(bytes).code).toBe("model_file_invalid");
    }
  });

  test("with more tensors than fit in a sparse file of terabytes does not read it", () => {
    const path = write(buildGguf({ dataBytes: 0 }));
    truncateSync(path, 2 ** 40);
    expect(readGgufHeader(path).fileSizeBytes).toBe(2 ** 40);
  });

  test("with an array that claims the whole of a huge file is refused early", () => {
    const metadata = { a: { type: "strings", value: [""] } } as const;
    const bytes = buildGguf({ metadata, tensors: [] });
    const start = bytes.indexOf(Buffer.from("a")) + 1 + 4 + 4;
    bytes.writeBigUInt64LE(2n ** 40n, start);
    const path = write(bytes);
    truncateSync(path, 2 ** 40);
    expect(() => readGgufHeader(path)).toThrow(expect.objectContaining({ code: "model_file_invalid" }));
  });

  test("with the same key twice, a bad alignment, a shape that no block divides", () => {
    const twice = buildGguf({ metadata: { aa: { type: "u32", value: 1 }, ab: { type: "u32", value: 1 } } });
    twice[twice.indexOf("ab") + 1] = "a".charCodeAt(0);
    expect(failure(twice).message).toContain("twice");
    const alignment = { "general.alignment": { type: "u32", value: 33 } } as const;
    expect(failure(buildGguf({ metadata: alignment })).message).toContain("general.alignment is 33");
    const odd = failure(buildGguf({ tensors: [{ name: "w", shape: [33], typeId: 2 }] }));
    expect(odd.message).toContain("not a multiple of 32");
  });

  test("never does anything but be read or refused", () => {
    const whole = buildGguf();
    const mutation = fc.record({
      at: fc.nat(whole.length - 9),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
    });
    const path = join(directory, "fuzz.gguf");
    fc.assert(
      fc.property(
        fc.array(mutation, { minLength: 1, maxLength: 4 }),
        fc.nat(whole.length),
        fc.boolean(),
        (mutations, length, cut) => {
          const bytes = Buffer.from(whole);
          for (const { at, bytes: change } of mutations) bytes.set(change, at);
          writeFileSync(path, cut ? bytes.subarray(0, length) : bytes);
          try {
            readGgufHeader(path);
          } catch (error) {
            if (!(error instanceof InkstoneError)) throw error;
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});
