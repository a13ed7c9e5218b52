/** The engine's whole loop on real weights, its books compared with the library's cells before every step. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/engine/engine.ts";
import type { Executor } from "../../src/engine/executor/executor.ts";
import { makeRequest } from "../../src/engine/testing/requests.ts";
import type {
  EngineConfig,
  EngineRequest,
  RequestUpdate,
  TokenId,
  TokenOutput,
} from "../../src/engine/types.ts";
import { loadNative } from "../../src/native/library.ts";
import type { Native } from "../../src/native/library.ts";
import { locateNative } from "../../src/native/packages.ts";
import { engineConfig, generate, openVocabulary, tokensOf, withEngine } from "./llama-harness.ts";
import { testModelPath } from "./model-path.ts";

const nRequests = 60;
const contextWindow = 256;
/** Between the log-probabilities of two tokens either of which may be chosen, as batches differ in their rounding. */
const nearTie = 0.25;

interface Client {
  readonly request: EngineRequest;
  /** Step before which it comes, and before which it is cancelled; Infinity: never. */
  readonly arrivesAt: number;
  readonly cancelledAt: number;
}

let modelPath: string;
let native: Native;
let clients: Client[];
/** What each request gets alone, by its id. */
let alone: Map<string, TokenOutput[]>;

/** Numbers from 0 up to `below`, the same ones in every run. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/**
 * By how much the first token that differs is less probable than the one that the request gets alone; 0 when none
 * differs. What follows such a token is another text, and is not compared.
 */
function divergence(tokens: readonly TokenId[], expected: readonly TokenOutput[]): number {
  const at = tokens.findIndex((token, index) => token !== expected[index]?.token);
  if (at < 0) return 0;
  const { top = [], logprob = 0 } = expected[at] ?? {};
  return logprob - (top.find(({ token }) => token === tokens[at])?.logprob ?? -Infinity);
}

beforeAll(async () => {
  modelPath = await testModelPath();
  native = loadNative({ directory: locateNative(null).directory });
  const { tokensOf: tokenize } = openVocabulary(native, modelPath);
  const prefixes = [
    "The harbour of Linden lies at the mouth of two rivers. In spring the northern river carries meltwater from the " +
      "hills, and the southern one carries clay, so that the basin has to be dredged twice a year.",
    "A recipe for four people. Peel six potatoes, cut them into slices, and boil them in salted water.",
    "Once upon a time",
  ].map(tokenize);
  const suffixes = [
    " The first ship of the year",
    " After that, the children",
    " It was cold, and the old man said",
    " Three things matter: first,",
    " In 1926",
  ].map(tokenize);
  const random = createRandom(11);
  const pick = (lists: TokenId[][]): TokenId[] => lists[random(lists.length)] ?? [];
  clients = Array.from({ length: nRequests }, (_, index) => {
    const prefix = pick(prefixes);
    const promptTokens = [...prefix.slice(0, prefix.length - random(4)), ...pick(suffixes)];
    const arrivesAt = random(80);
    return {
      request: makeRequest(`r${index}`, promptTokens, { maxTokens: 4 + random(12), ignoreEos: true }),
      arrivesAt,
      cancelledAt: random(6) === 0 ? arrivesAt + random(20) : Infinity,
    };
  });
  const known = new Map<string, TokenOutput[]>();
  alone = withEngine(engineConfig(modelPath, { contextWindow }), native, ({ executor }) => {
    // Greedy answers depend on the prompt only, so that each is computed once, and long enough.
    const endless: Executor = Object.create(executor, {
      isEndOfGeneration: { value: () => false },
      openSampler: { value: executor.openSampler.bind(executor) },
      closeSampler: { value: executor.closeSampler.bind(executor) },
      step: { value: executor.step.bind(executor) },
    }) as Executor;
    return new Map(
      clients.map(({ request: { id, promptTokens } }) => {
        const key = promptTokens.join();
        const answer = known.get(key) ?? generate(endless, promptTokens, 16, { topLogprobs: 8 });
        known.set(key, answer);
        return [id, answer];
      }),
    );
  });
});

afterAll(() => native.dispose());

describe.each<[string, Partial<EngineConfig>]>([
  ["unified", { kvLayout: "unified", kvCacheTokens: 512 }],
  ["streams", { kvLayout: "streams" }],
])("the engine over the library, %s", (_, changes) => {
  test("every cell is accounted for, every request ends, and answers are those of requests alone", () => {
    const config = engineConfig(modelPath, {
      contextWindow,
      maxNumSeqs: 6,
      maxNumBatchedTokens: 64,
      ...changes,
    });
    withEngine(config, native, ({ executor: inner, info }) => {
      const executor: Executor = {
        limits: inner.limits,
        openSampler: (id, spec) => inner.openSampler(id, spec),
        closeSampler: (id) => inner.closeSampler(id),
        isEndOfGeneration: (token) => inner.isEndOfGeneration(token),
        usedCells: () => inner.usedCells(),
        dispose: () => inner.dispose(),
        step: ({ operations, rows }) => {
          inner.step({ operations, rows: [] });
          expect(inner.usedCells()).toBe(engine.stats.kvUsedTokens);
          return inner.step({ operations: [], rows });
        },
      };
      let now = 0;
      const engine = new Engine(executor, {
        maxNumSeqs: info.maxNumSeqs,
        maxNumBatchedTokens: info.maxNumBatchedTokens,
        maxWaitMs: 0,
        prefixCache: true,
        now: () => now,
      });
      const answers = new Map<string, TokenId[]>(clients.map(({ request }) => [request.id, []]));
      const finished = new Map<string, RequestUpdate["finish"]>();
      for (let index = 0; index < 2000 && finished.size < nRequests; index++) {
        now += 10;
        for (const { request, arrivesAt, cancelledAt } of clients) {
          if (arrivesAt === index) engine.submit(request);
          if (cancelledAt === index) engine.cancel(request.id);
        }
        for (const { id, tokens, finish } of engine.step().updates) {
          expect(finished.has(id)).toBe(false);
          answers.get(id)?.push(...tokensOf(tokens));
          if (finish !== undefined) finished.set(id, finish);
        }
        engine.checkIntegrity();
      }
      for (const { request, cancelledAt } of clients) {
        const tokens = answers.get(request.id) ?? [];
        const { reason } = finished.get(request.id) ?? {};
        if (reason === "length") expect(tokens).toHaveLength(request.maxTokens);
        else expect([reason, cancelledAt < Infinity]).toEqual(["cancelled", true]);
        expect(divergence(tokens, alone.get(request.id) ?? [])).toBeLessThan(nearTie);
      }
      // The cache is used, and too small for everything: or this tests little.
      expect(engine.stats.prefixCacheHits).toBeGreaterThan(500);
      expect(engine.stats.evictedTokens).toBeGreaterThan(0);
    });
  });
});
