import {
  copyFileSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import koffi from "koffi";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createLlamaExecutor } from "../../src/engine/executor/llama.ts";
import { createContext } from "../../src/native/context.ts";
import { isGpu, listDevices } from "../../src/native/devices.ts";
import { loadNative } from "../../src/native/library.ts";
import type { Native } from "../../src/native/library.ts";
import { describeProcessor, loadModel } from "../../src/native/model.ts";
import { locateNative } from "../../src/native/packages.ts";
import { checkGrammar } from "../../src/native/grammar.ts";
import type { LlamaModel } from "../../src/native/model.ts";
import { exportVocabulary, tokenize } from "../../src/native/vocabulary.ts";
import type { VocabularyData, TokenizeOptions } from "../../src/native/vocabulary.ts";
import { engineConfig } from "./llama-harness.ts";
import { testModelPath } from "./model-path.ts";

let modelPath: string;
let native: Native;
let vocabulary: {
  tokenize(input: string, options: TokenizeOptions): Int32Array;
  exportVocabulary(): VocabularyData;
  checkGrammar(grammar: string): void;
};
let directory: string;

beforeAll(async () => {
  modelPath = await testModelPath();
  native = loadNative({ directory: locateNative(null).directory });
  const model: LlamaModel = loadModel(native, { paths: [modelPath], vocabOnly: true });
  vocabulary = {
    tokenize: (input, options) => tokenize(model, input, options),
    exportVocabulary: () => exportVocabulary(model),
    checkGrammar: (grammar) => checkGrammar(model, grammar),
  };
  directory = mkdtempSync(path.join(tmpdir(), "inkstone-native-"));
});

afterAll(() => {
  native.dispose();
  rmSync(directory, { recursive: true, force: true });
});

const text = { addSpecial: false, parseSpecial: false };

describe("library", () => {
  test("says its version", () => {
    expect(native.version).toMatch(/^0\.5\.0(-dev)?$/);
  });

  test("a library without the expected functions is refused", () => {
    const wrong = mkdtempSync(path.join(directory, "wrong-"));
    const ggml = path.join(native.directory, "libggml.v0.5.0.so");
    symlinkSync(path.join(native.directory, "libggml-base.so"), path.join(wrong, "libggml-base.so"));
    symlinkSync(ggml, path.join(wrong, "libggml.so"));
    symlinkSync(ggml, path.join(wrong, "libllama.so"));
    expect(() => loadNative({ directory: wrong })).toThrow(
      expect.objectContaining({
        code: "native_mismatch",
        message: expect.stringMatching(/Expected .*0\.5\.0.*llama_version/),
      }),
    );
  });

  test("offers at least the CPU", () => {
    const [cpu] = listDevices(native).filter((device) => !isGpu(device));
    expect(cpu).toMatchObject({ name: "CPU", type: "cpu" });
    expect(cpu?.totalBytes).toBeGreaterThan(0);
  });
});

describe("loadModel", () => {
  test("reads the facts", () => {
    const model = loadModel(native, { paths: [modelPath], gpuLayers: 0 });
    const { facts } = model;
    expect(facts.architecture).toBe(facts.metadata["general.architecture"]);
    expect(facts.nParams).toBeGreaterThan(1_000_000);
    expect(facts.nCtxTrain).toBe(Number(facts.metadata[`${facts.architecture}.context_length`]));
    expect(facts.sizeBytes).toBeLessThanOrEqual(statSync(modelPath).size);
    expect(facts.hasDecoder).toBe(true);
    expect(describeProcessor(facts.buffers)).toBe("CPU");
    model.dispose();
    model.dispose();
  });

  const failure = (paths: string[], extra: object = {}): { code?: string; message?: string } => {
    try {
      loadModel(native, { paths, ...extra }).dispose();
    } catch (error) {
      return error as { code: string; message: string };
    }
    return {};
  };

  test("a file that is not there, and one that is no GGUF", () => {
    expect(failure(["/nowhere/model.gguf"])).toMatchObject({ code: "model_load_failed" });
    const junk = path.join(directory, "junk.gguf");
    writeFileSync(junk, "this is not a model");
    expect(failure([junk])).toMatchObject({
      code: "model_load_failed",
      message: expect.stringContaining(junk),
    });
  });

  test("a truncated file: the library's reason, not a crash", () => {
    const truncated = path.join(directory, "truncated.gguf");
    copyFileSync(modelPath, truncated);
    truncateSync(truncated, Math.floor(statSync(modelPath).size / 2));
    const { code, message } = failure([truncated]);
    expect(code).toBe("model_load_failed");
    expect(message).toMatch(/corrupted or incomplete/);
    truncateSync(truncated, 1000);
    expect(failure([truncated]).code).toBe("model_load_failed");
  });

  test("a device that does not exist: those that do", () => {
    expect(failure([modelPath], { devices: ["CUDA77"] })).toMatchObject({
      code: "invalid_config",
      message: expect.stringMatching(/"CUDA77"; there are: none/),
    });
  });

  test("a GPU that does not exist", () => {
    expect(failure([modelPath], { mainGpu: 99 })).toMatchObject({ code: "invalid_config" });
  });

  test("too many parts of a tensor split", () => {
    const tensorSplit = Array.from({ length: 1000 }, () => 1);
    expect(failure([modelPath], { tensorSplit })).toMatchObject({ code: "invalid_config" });
  });
});

describe("tokenize", () => {
  const bytesOf = (tokens: Iterable<number>): Buffer => {
    const { pieces, offsets } = vocabulary.exportVocabulary();
    return Buffer.concat([...tokens].map((token) => pieces.subarray(offsets[token], offsets[token + 1])));
  };

  test.each(["Hello, world!", "你好，世界 🎉", "a\0b", "  two  spaces\n\n\ttab", ""])(
    "%j comes back",
    (input) => {
      expect(bytesOf(vocabulary.tokenize(input, text)).toString("utf8")).toBe(input);
    },
  );

  test("a lone surrogate is read as U+FFFD", () => {
    expect(bytesOf(vocabulary.tokenize("a\ud800b", text)).toString("utf8")).toBe("a\ufffdb");
  });

  test("control tokens are read only when asked for", () => {
    const { isControl, pieces, offsets } = vocabulary.exportVocabulary();
    const control = isControl.indexOf(1);
    const written = Buffer.from(pieces.subarray(offsets[control], offsets[control + 1])).toString("utf8");
    expect([...vocabulary.tokenize(written, { ...text, parseSpecial: true })]).toEqual([control]);
    expect(vocabulary.tokenize(written, text).length).toBeGreaterThan(1);
  });

  test("a long text", () => {
    const tokens = vocabulary.tokenize("word ".repeat(40_000), text);
    expect(tokens.length).toBeGreaterThanOrEqual(40_000);
  });
});

describe("exportVocabulary", () => {
  test("is complete and consistent", () => {
    const data = vocabulary.exportVocabulary();
    expect(data.offsets).toHaveLength(data.nTokens + 1);
    expect(data.offsets.at(-1)).toBe(data.pieces.length);
    expect(data.isControl).toHaveLength(data.nTokens);
    expect(data.endOfGeneration).toContain(data.eos);
    expect(data.metadata["general.architecture"]).toBeTypeOf("string");
  });
});

describe("checkGrammar", () => {
  test("accepts a grammar", () => {
    expect(() => vocabulary.checkGrammar('root ::= "yes" | "no" ws\nws ::= [ \\n]*')).not.toThrow();
  });

  test.each([
    ['root = "a"', /expecting ::=/],
    ['root ::= "a', /unexpected end of input/],
    ["root ::= missing", /missing/],
    ['start ::= "a"', /root/],
    ['root ::= root "a"', /left recursion/],
    ["  ", /empty/],
    ['root ::= "a\0"', /NUL/],
  ])("%j: the parser's message", (grammar, message) => {
    expect(() => vocabulary.checkGrammar(grammar)).toThrow(
      expect.objectContaining({ code: "invalid_grammar", message: expect.stringMatching(message) }),
    );
  });
});

describe("disposal", () => {
  const original = koffi.call;
  const contextOptions = {
    cells: 512,
    batchTokens: 64,
    batchOutputs: 4,
    sequences: 1,
    unified: true,
    flashAttn: "auto",
    typeK: "f16",
    typeV: "f16",
    threads: 1,
    threadsBatch: 1,
    kvBytes: 0,
  } as const;

  test("a model takes its contexts with it, and may go twice", () => {
    const model = loadModel(native, { paths: [modelPath], gpuLayers: 0 });
    const context = createContext(model, contextOptions);
    model.dispose();
    expect(context.handle.disposed).toBe(true);
    context.dispose();
    model.dispose();
  });

  test.each(["model", "context"] as const)(
    "the %s's disposal detaches the threads before they end",
    (owner) => {
      const model = loadModel(native, { paths: [modelPath], gpuLayers: 0 });
      const context = createContext(model, contextOptions);
      const order: string[] = [];
      const lib = native.lib as { -readonly [Name in keyof typeof native.lib]: (typeof native.lib)[Name] };
      const { llama_detach_threadpool: detach, llama_free: free } = lib;
      lib.llama_detach_threadpool = (pointer) => (order.push("detach"), detach(pointer));
      lib.llama_free = (pointer) => (order.push("context"), free(pointer));
      const call = vi.spyOn(koffi, "call").mockImplementation(((
        ...parameters: Parameters<typeof koffi.call>
      ) => {
        order.push("pool");
        return original(...parameters) as unknown;
      }) as typeof koffi.call);
      try {
        (owner === "model" ? model : context).dispose();
      } finally {
        lib.llama_detach_threadpool = detach;
        lib.llama_free = free;
        call.mockRestore();
      }
      expect(order).toEqual(["detach", "pool", "context"]);
      model.dispose();
    },
  );

  test("nothing stays loaded when the context cannot be made", () => {
    const tooMany = engineConfig(modelPath, { kvLayout: "streams", maxNumSeqs: 1000, contextWindow: 256 });
    const handles: boolean[] = [];
    for (let round = 0; round < 2; round++) {
      expect(() => createLlamaExecutor(tooMany, native)).toThrow(
        expect.objectContaining({ code: "model_load_failed", message: expect.stringContaining("n_seq_max") }),
      );
      handles.push(native.handle.disposed);
    }
    expect(handles).toEqual([false, false]);
  });

  test("a cache that no machine holds: out_of_memory with its size", () => {
    const huge = engineConfig(modelPath, { kvLayout: "unified", kvCacheTokens: 2 ** 30 });
    expect(() => createLlamaExecutor(huge, native)).toThrow(
      expect.objectContaining({ code: "out_of_memory", message: expect.stringMatching(/\d{12,} bytes/) }),
    );
  });
});
