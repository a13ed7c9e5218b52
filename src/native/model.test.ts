import { describe, expect, test } from "vitest";
import { describeProcessor, parseBuffers } from "./model.ts";

const MiB = 1024 ** 2;

test("parseBuffers reads the library's lines", () => {
  expect(
    parseBuffers([
      { level: "info", text: "load_tensors: offloaded 31/31 layers to GPU" },
      { level: "info", text: "load_tensors:   CPU_Mapped model buffer size =    30.38 MiB" },
      { level: "info", text: "load_tensors:        CUDA0 model buffer size =    92.50 MiB" },
    ]),
  ).toEqual([
    { name: "CPU_Mapped", sizeBytes: 30.38 * MiB },
    { name: "CUDA0", sizeBytes: 92.5 * MiB },
  ]);
});

describe("describeProcessor", () => {
  test.each([
    ["CPU", [["CPU_Mapped", 90]]],
    [
      "CPU",
      [
        ["CPU", 10],
        ["CPU_REPACK", 80],
      ],
    ],
    ["CPU", []],
    [
      "100% GPU",
      [
        ["CUDA0", 90],
        ["CUDA1", 90],
      ],
    ],
    [
      "100% GPU",
      [
        ["CUDA0", 1000],
        ["CUDA_Host", 1],
      ],
    ],
    [
      "40%/60% CPU/GPU",
      [
        ["CPU_Mapped", 30],
        ["CUDA_Host", 10],
        ["CUDA0", 60],
      ],
    ],
  ] as [string, [string, number][]][])("%s", (expected, buffers) => {
    expect(describeProcessor(buffers.map(([name, size]) => ({ name, sizeBytes: size * MiB })))).toBe(
      expected,
    );
  });
});
