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

beforeAll(async () => {
  modelPath = await testModelPath();
  native = loadNative({ directory: locateNative(null).directory });
  vocabulary = openVocabulary(native, modelPath);
  prompt = vocabulary.tokensOf("The three primary colours are red, yellow and");
});

afterAll(() => native.dispose());

const run = <T>(changes: Partial<EngineConfig>, use: (executor: Executor) => T): T =>
  withEngine(engineConfig(modelPath, changes), native, ({ executor }) => use(executor));

describe("grammar", () => {
  const list = 'root ::= "[" [0-9]{1,3} (", " [0-9]{1,3}){2} "]"';

  test.each([
    ["greedy", {}],
    ["sampled", { temperature: 1, seed: 3 }],
    ["sampled from the best 40", { temperature: 1, topK: 40, seed: 3 }],
    ["with penalties", { temperature: 0.8, repeatPenalty: 1.2, seed: 3 }],
  ])("the text conforms, %s", (_, sampling) => {
    run({}, (executor) => {
      const outputs = generate(executor, prompt, 40, { sampling: { ...sampling, grammar: list } });
      const last = tokensOf(outputs).at(-1) ?? -1;
      expect(executor.isEndOfGeneration(last)).toBe(true);
      expect(vocabulary.textOf(outputs.slice(0, -1))).toMatch(/^\[\d{1,3}(, \d{1,3}){2}\]$/);
    });
  });

  test("goes on where it was", () => {
    run({}, (executor) => {
      const sampling = { grammar: list };
      const whole = tokensOf(generate(executor, prompt, 40, { sampling }));
      const resumed = generate(executor, prompt, 40, { sampling, outputTokens: whole.slice(0, 3) });
      expect(tokensOf(resumed)).toEqual(whole.slice(3));
    });
  });

  test("tokens before that do not conform are refused, not accepted", () => {
    run({}, (executor) => {
      const request = spec(prompt, { sampling: { grammar: list }, outputTokens: prompt });
      expect(() => executor.openSampler("g", request)).toThrow(
        expect.objectContaining({ code: "invalid_grammar" }),
      );
    });
  });

  test("a grammar that nothing can continue ends the text", () => {
    run({}, (executor) => {
      const every = Array.from({ length: 10 }, (_, digit) => String(digit)).flatMap((digit) =>
        vocabulary.tokensOf(digit).map((token) => ({
          token,
          bias: -Infinity,
        })),
      );
      const sampling = { grammar: 'root ::= "[" [0-9]+', logitBias: every };
      const outputs = generate(executor, prompt, 5, { sampling });
      expect(outputs.length).toBeLessThan(5);
      expect(executor.isEndOfGeneration(tokensOf(outputs).at(-1) ?? -1)).toBe(true);
    });
  });

  test("is compiled once for all requests with the same text, while it is among the last ones", () => {
    run({}, (executor) => {
      const lib = native.lib as { -readonly [Name in keyof typeof native.lib]: (typeof native.lib)[Name] };
      const compile = lib.llama_sampler_init_grammar;
      let compiled = 0;
      lib.llama_sampler_init_grammar = (...parameters) => {
        compiled += 1;
        return compile(...parameters);
      };
      const open = (id: string, grammar: string): void =>
        executor.openSampler(id, spec(prompt, { sampling: { grammar } }));
      try {
        for (let choice = 0; choice < 5; choice++) open(`choice-${choice}`, list);
        expect(compiled).toBe(1);
        for (let other = 0; other < 20; other++) open(`other-${other}`, `root ::= "${other}"`);
        expect(compiled).toBe(21);
        open("again", list);
        expect(compiled).toBe(22);
      } finally {
        lib.llama_sampler_init_grammar = compile;
      }
      // A request keeps its grammar when the original is gone.
      const [row] = step(executor, {
        requestId: "choice-0",
        sequence: 0,
        start: 0,
        tokens: prompt,
        outputs: "last",
      });
      expect(vocabulary.textOf(row?.sampled === null || row === undefined ? [] : [row.sampled])).toBe("[");
    });
  });

  test("one that takes too long to make is refused, and the next time at once", () => {
    run({}, (executor) => {
      const words = Array.from({ length: 15_000 }, (_, index) => `"${index}"`).join(" | ");
      const sampling = { grammar: `root ::= ${words}` };
      for (let round = 0; round < 2; round++) {
        expect(() => executor.openSampler("g", spec(prompt, { sampling }))).toThrow(/too slow/);
      }
    });
  });

  test("one that does not compile is refused", () => {
    run({}, (executor) => {
      expect(() => executor.openSampler("g", spec(prompt, { sampling: { grammar: "root = x" } }))).toThrow(
        expect.objectContaining({ code: "invalid_grammar" }),
      );
    });
  });
});

describe("a grammar that doubles its states with each token", () => {
  const exploding = 'root ::= "a" root x | "a" root y | "b"\nx ::= "c"\ny ::= "d"';

  /** Runs an exploding request beside a greedy one; answers the error and the other's tokens. */
  const beside = (token: string): { error: unknown; tokens: TokenId[] } =>
    run({}, (executor) => {
      const forced = vocabulary.tokensOf(token).slice(0, 1);
      const logitBias = forced.map((id) => ({ token: id, bias: 1000 }));
      executor.openSampler("bad", spec(prompt, { sampling: { grammar: exploding, logitBias } }));
      executor.openSampler("good", spec(prompt));
      const pending = { bad: prompt, good: prompt };
      const start = { bad: 0, good: 0 };
      const tokens: TokenId[] = [];
      for (let position = 0; position < 40; position++) {
        const rows = (["bad", "good"] as const).map((requestId, sequence) => ({
          requestId,
          sequence,
          start: start[requestId],
          tokens: pending[requestId],
          outputs: "last" as const,
        }));
        const [bad, good] = step(executor, ...rows);
        tokens.push(good?.sampled?.token ?? -1);
        if (bad?.error !== undefined) {
          expect(bad.sampled).toBeNull();
          return { error: bad.error, tokens };
        }
        for (const [id, result] of [
          ["bad", bad],
          ["good", good],
        ] as const) {
          start[id] += pending[id].length;
          pending[id] = [result?.sampled?.token ?? -1];
        }
      }
      return { error: null, tokens };
    });

  test.each(["a", "aaaaaaaaaaaaaaaa"])("ends, and the other rows go on, %j", (token) => {
    const { error, tokens } = beside(token);
    expect(error).toMatchObject({ code: "invalid_grammar", message: expect.stringMatching(/too slow/) });
    const alone = run({}, (executor) => generate(executor, prompt, tokens.length));
    expect(tokens).toEqual(tokensOf(alone));
  });
});
