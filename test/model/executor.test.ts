import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Executor } from "../../src/engine/executor/executor.ts";
import type { EngineConfig, TokenId } from "../../src/engine/types.ts";
import { loadNative } from "../../src/native/library.ts";
import type { Native } from "../../src/native/library.ts";
import { locateNative } from "../../src/native/packages.ts";
import { engineConfig, generate, openVocabulary, spec, step, tokensOf, withEngine } from "./llama-harness.ts";
import type { Vocabulary } from "./llama-harness.ts";
import { testModelPath } from "./model-path.ts";

let modelPath: string;
let native: Native;
let vocabulary: Vocabulary;
let prompt: TokenId[];
let long: TokenId[];

beforeAll(async () => {
  modelPath = await testModelPath();
  native = loadNative({ directory: locateNative(null).directory });
  vocabulary = openVocabulary(native, modelPath);
  prompt = vocabulary.tokensOf("The three primary colours are red, yellow and");
  long = vocabulary.tokensOf(
    "A lighthouse keeper wrote in her journal every evening. She noted the wind, the ships that passed, and what " +
      "she had cooked. On the first day of March she wrote that the sea was calm, and that",
  );
});

afterAll(() => native.dispose());

const run = <T>(changes: Partial<EngineConfig>, use: (executor: Executor) => T): T =>
  withEngine(engineConfig(modelPath, changes), native, ({ executor }) => use(executor));

/** All log-probabilities of the token after a prompt, by token. */
function distribution(executor: Executor, sequence: number, start: number, tokens: TokenId[]): number[] {
  executor.openSampler("d", spec(tokens, { topLogprobs: 1_000_000 }));
  const [result] = step(executor, { requestId: "d", sequence, start, tokens, outputs: "last" });
  const logprobs: number[] = [];
  for (const { token, logprob } of result?.sampled?.top ?? []) logprobs[token] = logprob;
  return logprobs;
}

const largestDifference = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.slice(0, 20_000).map((value, token) => Math.abs(value - (b[token] ?? Infinity))));

describe.each(["unified", "streams"] as const)("the cache, %s", (kvLayout) => {
  test("a shared prefix gives the logits of a fresh computation", () => {
    run({ kvLayout, flashAttn: "off" }, (executor) => {
      const branch = long.length - 6;
      const fresh = distribution(executor, 0, 0, long);
      executor.step({ operations: [{ kind: "copy", from: 0, to: 2, start: 0, end: branch }], rows: [] });
      const shared = distribution(executor, 2, branch, long.slice(branch));
      expect(shared).toHaveLength(fresh.length);
      expect(largestDifference(fresh, shared)).toBeLessThan(0.1);
      // The source is untouched: it goes on as it did.
      const next = distribution(executor, 0, long.length, long.slice(0, 1));
      expect(next).toHaveLength(fresh.length);
    });
  });

  test("a prompt in chunks gives the same greedy tokens", () => {
    run({ kvLayout }, (executor) => {
      const whole = tokensOf(generate(executor, long, 12));
      expect(tokensOf(generate(executor, long, 12, { sequence: 1, chunk: 7 }))).toEqual(whole);
    });
  });

  test("rows of several requests do not disturb each other", () => {
    run({ kvLayout }, (executor) => {
      const alone = tokensOf(generate(executor, prompt, 8));
      const requests = [3, 0, 2].map((sequence) => ({ requestId: `r${sequence}`, sequence }));
      for (const { requestId, sequence } of requests) {
        executor.openSampler(requestId, spec(prompt));
        executor.step({ operations: [{ kind: "remove", sequence, start: 0, end: -1 }], rows: [] });
      }
      const generated = requests.map((): TokenId[] => []);
      for (let position = 0; position < 8; position++) {
        const results = step(
          executor,
          ...requests.map(({ requestId, sequence }, index) => ({
            requestId,
            sequence,
            start: position === 0 ? 0 : prompt.length + position - 1,
            tokens: position === 0 ? prompt : [generated[index]?.at(-1) ?? 0],
            outputs: "last" as const,
          })),
        );
        expect(results.map(({ requestId }) => requestId)).toEqual(["r3", "r0", "r2"]);
        for (const [index, { sampled }] of results.entries()) generated[index]?.push(sampled?.token ?? -1);
      }
      expect(generated).toEqual([alone, alone, alone]);
    });
  });

  test("used cells are those of the sequences, also with a hole between rows", () => {
    run({ kvLayout }, (executor) => {
      expect(executor.usedCells()).toBe(0);
      for (const sequence of [0, 1, 3]) {
        executor.openSampler(`r${sequence}`, spec(prompt));
        step(executor, { requestId: `r${sequence}`, sequence, start: 0, tokens: prompt, outputs: "last" });
      }
      expect(executor.usedCells()).toBe(3 * prompt.length);
      step(
        executor,
        ...[0, 1, 3].map((sequence) => ({
          requestId: `r${sequence}`,
          sequence,
          start: prompt.length,
          tokens: [5],
          outputs: "last" as const,
        })),
      );
      expect(executor.usedCells()).toBe(3 * (prompt.length + 1));
      executor.step({ operations: [{ kind: "copy", from: 0, to: 2, start: 0, end: 4 }], rows: [] });
      expect(executor.usedCells()).toBe(3 * (prompt.length + 1) + (kvLayout === "streams" ? 4 : 0));
      const operations = [0, 1, 2, 3].map((sequence) => ({
        kind: "remove" as const,
        sequence,
        start: 0,
        end: -1,
      }));
      executor.step({ operations, rows: [] });
      expect(executor.usedCells()).toBe(0);
    });
  });
});

describe("streams that a step passes by", () => {
  const open = (executor: Executor, sequence: number, tokens: TokenId[]): void => {
    executor.openSampler(`r${sequence}`, spec(tokens));
    step(executor, { requestId: `r${sequence}`, sequence, start: 0, tokens, outputs: "last" });
  };
  const row = (sequence: number, start: number, tokens: TokenId[]) => ({
    requestId: `r${sequence}`,
    sequence,
    start,
    tokens,
    outputs: "last" as const,
  });

  test("a live one that has no row keeps its logits", () => {
    const next = (passBy: boolean): number[] =>
      run({ kvLayout: "streams", flashAttn: "off" }, (executor) => {
        for (const sequence of [0, 1, 2]) open(executor, sequence, prompt);
        if (passBy) step(executor, row(0, prompt.length, [5]), row(2, prompt.length, [5]));
        expect(executor.usedCells()).toBe(3 * prompt.length + (passBy ? 2 : 0));
        return distribution(executor, 1, prompt.length, [7]);
      });
    expect(largestDifference(next(false), next(true))).toBe(0);
  });

  test("and no room: the streams are as they were", () => {
    run({ kvLayout: "streams", contextWindow: 256 }, (executor) => {
      const full = Array.from({ length: 256 }, (_, index) => 100 + index);
      open(executor, 0, full);
      open(executor, 1, prompt);
      open(executor, 2, full);
      const used = executor.usedCells();
      const rows = [row(0, 256, [5]), row(2, 256, [5])];
      expect(executor.step({ operations: [], rows })).toEqual({ status: "no-room" });
      expect(executor.usedCells()).toBe(used);
      const [alone] = run({ kvLayout: "streams", contextWindow: 256 }, (fresh) =>
        generate(fresh, [...prompt, 7], 1),
      );
      const [after] = step(executor, row(1, prompt.length, [7]));
      expect(after?.sampled?.token).toBe(alone?.token);
    });
  });
});

describe("limits", () => {
  test("requests at once: what the sequences, the batch and its outputs allow", () => {
    const many = engineConfig(modelPath, { maxNumSeqs: 300, maxNumBatchedTokens: 64 });
    withEngine(many, native, ({ info, executor }) => {
      expect(info.maxNumSeqs).toBe(64);
      expect(executor.limits.batchOutputs).toBe(64);
    });
  });

  test("streams and unified give the same greedy tokens", () => {
    const [unified, streams] = (["unified", "streams"] as const).map((kvLayout) =>
      run({ kvLayout }, (executor) => tokensOf(generate(executor, prompt, 24))),
    );
    expect(streams).toEqual(unified);
  });

  test("unified: sequence ids up to 255 work in rows, copies and removals", () => {
    run({}, (executor) => {
      expect(executor.limits.sequenceIds).toBe(256);
      const expected = tokensOf(generate(executor, long, 6));
      const branch = long.length - 3;
      executor.step({ operations: [{ kind: "copy", from: 0, to: 255, start: 0, end: branch }], rows: [] });
      const options = { sequence: 255, held: branch };
      expect(tokensOf(generate(executor, long, 6, options))).toEqual(expected);
    });
  });

  test("no room: nothing is computed, and the executor goes on", () => {
    run({ kvCacheTokens: 256, contextWindow: 256, maxNumBatchedTokens: 200 }, (executor) => {
      const tokens = Array.from({ length: 150 }, (_, index) => 100 + index);
      const row = (sequence: number) => ({
        requestId: "r",
        sequence,
        start: 0,
        tokens,
        outputs: "none" as const,
      });
      step(executor, row(0));
      expect(executor.step({ operations: [], rows: [row(1)] })).toEqual({ status: "no-room" });
      expect(executor.usedCells()).toBe(150);
      executor.step({ operations: [{ kind: "remove", sequence: 0, start: 0, end: -1 }], rows: [] });
      step(executor, row(1));
      expect(executor.usedCells()).toBe(150);
    });
  });

  test("too many tokens, too many outputs, a wrong position: errors, not aborts", () => {
    run({ maxNumBatchedTokens: 64 }, (executor) => {
      const tokens = Array.from({ length: 65 }, () => 5);
      const row = { requestId: "r", sequence: 0, start: 0, tokens, outputs: "none" as const };
      executor.openSampler("r", spec([]));
      expect(() => step(executor, row)).toThrow(/more than 64 tokens/);
      const all = {
        ...row,
        tokens: tokens.slice(0, 60),
        outputs: "all" as const,
        targets: tokens.slice(0, 60),
      };
      expect(() => step(executor, all)).toThrow(/more than \d+ outputs/);
      expect(() => step(executor, { ...row, tokens: [5], start: 9 })).not.toThrow();
      expect(() => step(executor, { ...row, tokens: [5], start: 3 })).toThrow(/could not compute/);
      expect(() => step(executor, { ...row, tokens: [99_999_999], start: 10 })).toThrow(/invalid token/);
    });
  });

  test("more context than the model was trained for is refused", () => {
    expect(() => run({ contextWindow: 10_000_000 }, () => {})).toThrow(
      expect.objectContaining({ code: "invalid_config", message: expect.stringContaining("10000000") }),
    );
  });

  test("a quantised cache works with flash attention only", () => {
    const quantised = { cacheTypeK: "q8_0", cacheTypeV: "q8_0" } as const;
    expect(() => run({ ...quantised, flashAttn: "off" }, () => {})).toThrow(/flash attention/);
    const expected = vocabulary.textOf(run({}, (executor) => generate(executor, prompt, 4)));
    expect(vocabulary.textOf(run(quantised, (executor) => generate(executor, prompt, 4)))).toBe(expected);
  });

  test("auto decides and says so", () => {
    withEngine(engineConfig(modelPath, { kvLayout: "auto", threads: null }), native, ({ info, executor }) => {
      expect(info).toMatchObject({
        kvLayout: "streams",
        contextWindow: 512,
        flashAttn: true,
        processor: "CPU",
      });
      expect(info.kvTotalTokens).toBe(executor.limits.kvTotalTokens);
      expect(info.threads).toBeGreaterThan(0);
    });
  });
});

describe("sampling", () => {
  test("the same seed gives the same tokens, another one others", () => {
    run({}, (executor) => {
      const sampled = (seed: number, extra = {}): TokenId[] =>
        tokensOf(generate(executor, prompt, 16, { sampling: { temperature: 1.2, seed, ...extra } }));
      expect(sampled(1)).toEqual(sampled(1));
      expect(sampled(1)).not.toEqual(sampled(2));
      expect(sampled(1, { topP: 0.9 })).toEqual(sampled(1, { topP: 0.9 }));
    });
  });

  test.each([
    ["alone", {}],
    ["after top-k and top-p", { topK: 40, topP: 0.95, minP: 0.02 }],
    ["where only one token is left", { topK: 1 }],
    ["with penalties", { repeatPenalty: 1.1 }],
  ])("a seeded request goes on with the tokens that it would have had, %s", (_, extra) => {
    run({}, (executor) => {
      const sampling = { temperature: 1.1, seed: 77, ...extra };
      const whole = tokensOf(generate(executor, prompt, 24, { sampling }));
      for (const kept of [1, 7, 16]) {
        const outputTokens = whole.slice(0, kept);
        const resumed = generate(executor, prompt, whole.length - kept, { sampling, outputTokens });
        expect(tokensOf(resumed)).toEqual(whole.slice(kept));
      }
    });
  });

  test("greedy chooses the most probable token, with and without the library", () => {
    run({}, (executor) => {
      const plain = generate(executor, prompt, 12, { topLogprobs: 1 });
      for (const { token, top } of plain) expect(top?.[0]?.token).toBe(token);
      const throughChain = generate(executor, prompt, 12, {
        sampling: { logitBias: [{ token: 0, bias: 0 }] },
      });
      expect(tokensOf(throughChain)).toEqual(tokensOf(plain));
    });
  });

  test("a bias bans a token and forces one", () => {
    run({}, (executor) => {
      const [first] = tokensOf(generate(executor, prompt, 1));
      const banned = [{ token: first ?? 0, bias: -Infinity }];
      expect(tokensOf(generate(executor, prompt, 1, { sampling: { logitBias: banned } }))).not.toEqual([
        first,
      ]);
      const forced = [{ token: 1234, bias: 1000 }];
      expect(tokensOf(generate(executor, prompt, 3, { sampling: { logitBias: forced } }))).toEqual([
        1234, 1234, 1234,
      ]);
    });
  });

  test("penalties look at the prompt and at what was generated before", () => {
    run({}, (executor) => {
      const sampling = { repeatPenalty: 1.4, repeatLastN: -1 };
      const free = tokensOf(generate(executor, long, 20));
      const whole = tokensOf(generate(executor, long, 20, { sampling }));
      expect(whole).not.toEqual(free);
      const before = whole.slice(0, 11);
      const resumed = generate(executor, long, 9, { sampling, outputTokens: before });
      expect(tokensOf(resumed)).toEqual(whole.slice(11));
    });
  });

  test("log-probabilities are those of a distribution, best first", () => {
    run({}, (executor) => {
      const [output] = generate(executor, prompt, 1, {
        topLogprobs: 1_000_000,
        sampling: { temperature: 1.5 },
      });
      const logprobs = output?.top?.map(({ logprob }) => logprob) ?? [];
      expect(logprobs.reduce((sum, logprob) => sum + Math.exp(logprob), 0)).toBeCloseTo(1, 4);
      expect(logprobs).toEqual(logprobs.toSorted((a, b) => b - a));
      expect(output?.top?.find(({ token }) => token === output.token)?.logprob).toBe(output?.logprob);
    });
  });

  test("log-probabilities of a prompt, and a token sampled after it", () => {
    run({}, (executor) => {
      const targets = prompt.slice(1);
      executor.openSampler("p", { ...spec(prompt), promptLogprobs: 2, topLogprobs: 0 });
      const [row] = step(executor, {
        requestId: "p",
        sequence: 0,
        start: 0,
        tokens: prompt,
        outputs: "all",
        targets,
        sample: true,
      });
      expect(row?.targets?.map(({ token }) => token)).toEqual(targets);
      for (const { logprob, top } of row?.targets ?? []) {
        expect(logprob).toBeLessThanOrEqual((top?.[0]?.logprob ?? -Infinity) + 1e-9);
        expect(top).toHaveLength(2);
      }
      expect(row?.sampled?.token).toBe(tokensOf(generate(executor, prompt, 1, { sequence: 1 }))[0]);
      expect(row?.sampled?.top).toEqual([]);
    });
  });
});
