import { describe, expect, test } from "vitest";
import { InkstoneError } from "../../errors.ts";
import type { ModelFacts } from "../../native/model.ts";
import {
  chooseContextWindow,
  chooseFlashAttn,
  chooseKvLayout,
  holesToFill,
  kvBytesPerToken,
  padCells,
  shapeCache,
} from "./llama-decisions.ts";
import type { KvLayoutFacts } from "./llama-decisions.ts";

const GiB = 1024 ** 3;

function facts(changes: Partial<ModelFacts> = {}): ModelFacts {
  return {
    architecture: "llama",
    description: "llama 135M Q4_1",
    nParams: 134_515_008,
    sizeBytes: 96_576_768,
    nCtxTrain: 8192,
    nEmbd: 576,
    nLayer: 30,
    nHead: 9,
    nHeadKv: 3,
    nSwa: 0,
    nVocab: 49_152,
    isRecurrent: false,
    isHybrid: false,
    isDiffusion: false,
    hasEncoder: false,
    hasDecoder: true,
    chatTemplate: null,
    metadata: {},
    buffers: [],
    ...changes,
  };
}

const layoutFacts: KvLayoutFacts = {
  kvBytesPerToken: 23_040,
  maxNumSeqs: 16,
  contextWindow: 2048,
  kvCacheTokens: null,
  nVocab: 49_152,
  availableMemoryBytes: 16 * GiB,
  onGpu: false,
  recurrent: false,
};

const code = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return error instanceof InkstoneError ? error.code : String(error);
  }
  return "none";
};

describe("kvBytesPerToken", () => {
  test("counts keys and values of all layers", () => {
    expect(kvBytesPerToken(facts(), "f16", "f16")).toBe(30 * 3 * 64 * 2 * 2);
  });

  test("takes the head sizes of the metadata", () => {
    const metadata = { "qwen3.attention.key_length": "128", "qwen3.attention.value_length": "96" };
    const model = facts({ architecture: "qwen3", metadata });
    expect(kvBytesPerToken(model, "f16", "f16")).toBe(30 * 3 * (128 + 96) * 2);
  });

  test("counts blocks of quantised types", () => {
    expect(kvBytesPerToken(facts(), "q8_0", "q4_0")).toBe(30 * ((192 / 32) * 34 + (192 / 32) * 18));
  });

  test("latent attention keeps no values", () => {
    const metadata = {
      "deepseek2.attention.key_length": "576",
      "deepseek2.attention.value_length": "512",
      "deepseek2.attention.key_length_mla": "192",
    };
    const model = facts({ architecture: "deepseek2", nHeadKv: 1, metadata });
    expect(kvBytesPerToken(model, "f16", "f16")).toBe(30 * 576 * 2);
  });

  test("a recurrent model has no cells", () => {
    expect(kvBytesPerToken(facts({ isRecurrent: true, nHead: 0 }), "f16", "f16")).toBe(0);
  });
});

describe("chooseContextWindow", () => {
  test("is the smallest of the model's, the default and the cache", () => {
    expect(chooseContextWindow(null, 4096, null)).toBe(4096);
    expect(chooseContextWindow(null, 131_072, null)).toBe(8192);
    expect(chooseContextWindow(null, 131_072, 1024)).toBe(1024);
    expect(chooseContextWindow(16_384, 131_072, null)).toBe(16_384);
  });

  test("refuses more than the model was trained for, and more than the cache holds", () => {
    expect(code(() => chooseContextWindow(8193, 8192, null))).toBe("invalid_config");
    expect(code(() => chooseContextWindow(4096, 8192, 2048))).toBe("invalid_config");
  });
});

describe("chooseKvLayout", () => {
  test("streams for small caches", () => {
    expect(chooseKvLayout("auto", layoutFacts)).toBe("streams");
  });

  test.each([
    ["more than 2 GiB", { contextWindow: 8192 }],
    ["more than 15% of the memory", { availableMemoryBytes: 4 * GiB }],
    ["many sequences", { maxNumSeqs: 65, contextWindow: 256 }],
    ["a recurrent state", { recurrent: true }],
    ["a cache whose size is set", { kvCacheTokens: 16 * 2048 }],
  ])("unified for %s", (_, changes) => {
    expect(chooseKvLayout("auto", { ...layoutFacts, ...changes })).toBe("unified");
  });

  test("a setting is followed, but not streams in fewer cells than they take", () => {
    const withCells = (kvCacheTokens: number): KvLayoutFacts => ({ ...layoutFacts, kvCacheTokens });
    expect(chooseKvLayout("unified", layoutFacts)).toBe("unified");
    expect(chooseKvLayout("streams", { ...layoutFacts, availableMemoryBytes: 0 })).toBe("streams");
    expect(chooseKvLayout("streams", withCells(16 * 2048))).toBe("streams");
    expect(code(() => chooseKvLayout("streams", withCells(16 * 2048 - 1)))).toBe("invalid_config");
  });
});

describe("shapeCache", () => {
  test("streams: a padded window for each sequence", () => {
    const shape = shapeCache("streams", { ...layoutFacts, contextWindow: 1000 });
    expect(shape).toMatchObject({ cells: 16 * 1024, sequenceTokens: 1000, sequenceIds: 16, nSeqMax: 16 });
  });

  test("unified: what the setting says, padded", () => {
    const shape = shapeCache("unified", { ...layoutFacts, kvCacheTokens: 5000 });
    expect(shape).toMatchObject({ cells: padCells(5000), sequenceTokens: 2048, sequenceIds: 256 });
  });

  test("unified: never less than one window", () => {
    const shape = shapeCache("unified", {
      ...layoutFacts,
      availableMemoryBytes: 0,
    });
    expect(shape.cells).toBe(2048);
  });

  test("unified: a share of the memory, on a CPU at most 1 GiB", () => {
    const cells = (changes: Partial<KvLayoutFacts>): number =>
      shapeCache("unified", { ...layoutFacts, contextWindow: 8192, ...changes }).cells;
    expect(cells({ availableMemoryBytes: 2 * GiB })).toBe(padCells(GiB / 2 / 23_040));
    expect(cells({})).toBe(padCells(GiB / 23_040));
    expect(cells({ onGpu: true })).toBe(16 * 8192);
  });

  test("the library's buffers hold a row of logits for each sequence", () => {
    for (const layout of ["streams", "unified"] as const) {
      for (const maxNumSeqs of [1, 16, 64, 200]) {
        const shape = shapeCache(layout, { ...layoutFacts, maxNumSeqs, kvCacheTokens: 4096 });
        expect(shape.batchOutputs).toBeGreaterThanOrEqual(Math.max(shape.nSeqMax, maxNumSeqs));
      }
    }
  });

  test("fewer rows of logits beside those for a large vocabulary", () => {
    const extra = (nVocab: number): number =>
      shapeCache("streams", { ...layoutFacts, nVocab }).batchOutputs - layoutFacts.maxNumSeqs;
    expect([32_000, 49_152, 98_304, 152_064, 1_000_000].map(extra)).toEqual([32, 32, 16, 10, 8]);
  });

  test("a recurrent state exists for as many sequences as run", () => {
    const shape = shapeCache("unified", { ...layoutFacts, recurrent: true });
    expect(shape).toMatchObject({ sequenceIds: 16, nSeqMax: 16 });
  });
});

describe("chooseFlashAttn", () => {
  test("follows the setting", () => {
    expect(chooseFlashAttn("auto", "f16")).toBe("auto");
    expect(chooseFlashAttn("off", "bf16")).toBe("off");
  });

  test("is on for quantised values, and cannot be off then", () => {
    expect(chooseFlashAttn("auto", "q8_0")).toBe("on");
    expect(code(() => chooseFlashAttn("off", "q8_0"))).toBe("invalid_config");
  });
});

describe("holesToFill", () => {
  const lengths = [10, 20, 30, 40, 50, 0, 60, 70];
  const lengthOf = (sequence: number): number => lengths[sequence] ?? 0;

  test("none when the streams are consecutive", () => {
    expect(holesToFill([2, 3, 4], lengthOf, 100)).toEqual([]);
    expect(holesToFill([], lengthOf, 100)).toEqual([]);
  });

  test("every hole, also an empty stream", () => {
    expect(holesToFill([0, 2, 4, 6, 7], lengthOf, 100)).toEqual([1, 3, 5]);
  });

  test("not when there would be as many fillers as rows", () => {
    expect(holesToFill([0, 3], lengthOf, 100)).toEqual([]);
  });

  test("not with a stream that is longer than all rows, or full", () => {
    const one = (held: number, sequenceTokens: number): number[] =>
      holesToFill([0, 2], (sequence) => (sequence === 1 ? held : 50), sequenceTokens);
    expect(one(50, 100)).toEqual([1]);
    expect(one(51, 100)).toEqual([]);
    expect(one(50, 50)).toEqual([]);
  });
});
