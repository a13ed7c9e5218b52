import koffi from "koffi";
import { describe, expect, test } from "vitest";
import { kvCacheTypes, structs } from "./abi.ts";
import { expectedStructBytes } from "./abi-expectations.ts";

describe("structs", () => {
  test.each(Object.entries(expectedStructBytes))("%s is %i bytes", (name, bytes) => {
    expect(koffi.sizeof(structs[name as keyof typeof structs])).toBe(bytes);
  });

  test("fields lie where the C compiler puts them", () => {
    expect(koffi.offsetof(structs.modelParams, "tensor_split")).toBe(40);
    expect(koffi.offsetof(structs.modelParams, "vocab_only")).toBe(72);
    expect(koffi.offsetof(structs.contextParams, "cb_eval")).toBe(88);
    expect(koffi.offsetof(structs.contextParams, "kv_unified")).toBe(133);
    expect(koffi.offsetof(structs.threadpoolParams, "poll")).toBe(520);
  });
});

test("a KV cache type's blocks are those of ggml", () => {
  expect(kvCacheTypes.q8_0.blockBytes).toBe(2 + 32);
  expect(kvCacheTypes.q4_0.blockBytes).toBe(2 + 16);
  expect(kvCacheTypes.q5_1.blockBytes).toBe(4 + 4 + 16);
});
