/** Many rows in a step, against what llama-server answered to each request alone. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PlanRow } from "../../src/engine/executor/executor.ts";
import type { TokenId } from "../../src/engine/types.ts";
import { loadNative } from "../../src/native/library.ts";
import type { Native } from "../../src/native/library.ts";
import { locateNative } from "../../src/native/packages.ts";
import { engineConfig, spec, step, withEngine } from "./llama-harness.ts";
import { testModelPath } from "./model-path.ts";

interface RecordedCase {
  readonly promptTokens: TokenId[];
  readonly outputTokens: TokenId[];
}

const fixture = new URL("../fixtures/parity/smollm2-greedy.json", import.meta.url);
const nRows = 16;

let modelPath: string;
let native: Native;
let cases: RecordedCase[];

beforeAll(async () => {
  modelPath = await testModelPath();
  native = loadNative({ directory: locateNative(null).directory });
  const { cases: recorded } = JSON.parse(readFileSync(fixture, "utf8")) as { cases: RecordedCase[] };
  cases = recorded
    .filter(({ promptTokens }) => promptTokens.length < 100)
    .toSorted((a, b) => b.outputTokens.length - a.outputTokens.length)
    .slice(0, nRows);
});

afterAll(() => native.dispose());

describe.each(["unified", "streams"] as const)("16 rows, %s", (kvLayout) => {
  test("the recorded tokens follow those before them", () => {
    const config = engineConfig(modelPath, {
      kvLayout,
      maxNumSeqs: nRows,
      contextWindow: 256,
      maxNumBatchedTokens: 512,
    });
    withEngine(config, native, ({ executor }) => {
      expect(cases).toHaveLength(nRows);
      let agreed = 0;
      let compared = 0;
      const compare = (sequence: number, index: number, token: TokenId | undefined): void => {
        compared += 1;
        if (token === cases[sequence]?.outputTokens[index]) agreed += 1;
      };
      for (const [sequence, { promptTokens: tokens }] of cases.entries()) {
        const requestId = `r${sequence}`;
        executor.openSampler(requestId, spec(tokens));
        const [row] = step(executor, { requestId, sequence, start: 0, tokens, outputs: "last" });
        compare(sequence, 0, row?.sampled?.token);
      }
      // Shorter answers end first, so that also fewer rows and, among streams, some in between are computed.
      for (let index = 1; index < (cases[0]?.outputTokens.length ?? 0); index++) {
        const rows = cases.flatMap(({ promptTokens, outputTokens }, sequence): PlanRow[] => {
          if (index >= outputTokens.length) return [];
          const tokens = outputTokens.slice(index - 1, index);
          const start = promptTokens.length + index - 1;
          return [{ requestId: `r${sequence}`, sequence, start, tokens, outputs: "last" }];
        });
        for (const { requestId, sampled } of step(executor, ...rows)) {
          compare(Number(requestId.slice(1)), index, sampled?.token);
        }
      }
      expect(compared).toBe(cases.reduce((total, { outputTokens }) => total + outputTokens.length, 0));
      expect(agreed / compared).toBeGreaterThanOrEqual(0.995);
    });
  });
});
