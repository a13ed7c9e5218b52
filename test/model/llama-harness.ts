/** Small engines on real weights, and requests that run to their end. */
import { createLlamaExecutor } from "../../src/engine/executor/llama.ts";
import type { LlamaEngine } from "../../src/engine/executor/llama.ts";
import type { Executor, PlanRow, RowResult, SamplerSpec } from "../../src/engine/executor/executor.ts";
import type {
  EngineConfig,
  SamplingParams,
  SequenceId,
  TokenId,
  TokenOutput,
} from "../../src/engine/types.ts";
import { greedy } from "../../src/engine/testing/requests.ts";
import type { Native } from "../../src/native/library.ts";
import { loadModel } from "../../src/native/model.ts";
import type { LlamaModel } from "../../src/native/model.ts";
import { exportVocabulary, tokenize } from "../../src/native/vocabulary.ts";

export { greedy };

export function engineConfig(modelPath: string, changes: Partial<EngineConfig> = {}): EngineConfig {
  return {
    modelKey: "test",
    modelPaths: [modelPath],
    contextWindow: 512,
    maxNumSeqs: 4,
    maxNumBatchedTokens: 256,
    maxWaitMs: 0,
    kvCacheTokens: null,
    kvLayout: "unified",
    cacheTypeK: "f16",
    cacheTypeV: "f16",
    flashAttn: "auto",
    // One thread waits for no other, so that a busy machine does not stretch the tests.
    threads: 1,
    threadsBatch: 1,
    gpuLayers: 0,
    splitMode: "layer",
    tensorSplit: [],
    mainGpu: 0,
    devices: [],
    mmap: true,
    mlock: false,
    prefixCache: true,
    nativeDirectory: null,
    executor: "llama",
    ...changes,
  };
}

/** Runs `use` with an engine and frees it. */
export function withEngine<T>(config: EngineConfig, native: Native, use: (engine: LlamaEngine) => T): T {
  const engine = createLlamaExecutor(config, native);
  try {
    return use(engine);
  } finally {
    engine.executor.dispose();
  }
}

/** A step that must be done. */
export function step(executor: Executor, ...rows: PlanRow[]): readonly RowResult[] {
  const result = executor.step({ operations: [], rows });
  if (result.status !== "done") throw new Error("no room");
  return result.rows;
}

export interface GenerateOptions {
  readonly sequence?: SequenceId;
  readonly sampling?: Partial<SamplingParams>;
  readonly outputTokens?: readonly TokenId[];
  readonly topLogprobs?: number;
  /** Tokens of the prompt in one step. */
  readonly chunk?: number;
  /** Tokens that the sequence holds already. */
  readonly held?: number;
}

export function spec(promptTokens: readonly TokenId[], options: GenerateOptions = {}): SamplerSpec {
  return {
    sampling: { ...greedy, ...options.sampling },
    promptTokens,
    outputTokens: options.outputTokens ?? [],
    topLogprobs: options.topLogprobs ?? -1,
    promptLogprobs: -1,
  };
}

/** Runs one request for `count` tokens or to the end of its text, on a sequence that is emptied before (but for `held`). */
export function generate(
  executor: Executor,
  prompt: readonly TokenId[],
  count: number,
  options: GenerateOptions = {},
): TokenOutput[] {
  const { sequence = 0, chunk = 256, held = 0, outputTokens = [] } = options;
  const requestId = `request-${sequence}`;
  executor.openSampler(requestId, spec(prompt, options));
  executor.step({ operations: [{ kind: "remove", sequence, start: held, end: -1 }], rows: [] });
  const known = [...prompt, ...outputTokens];
  const generated: TokenOutput[] = [];
  let start = held;
  let pending: TokenId[] = known.slice(held);
  while (generated.length < count) {
    const tokens = pending.splice(0, chunk);
    const outputs = pending.length === 0 ? "last" : "none";
    const [result] = step(executor, { requestId, sequence, start, tokens, outputs });
    start += tokens.length;
    const sampled = result?.sampled ?? null;
    if (sampled === null) continue;
    generated.push(sampled);
    if (executor.isEndOfGeneration(sampled.token)) break;
    pending = [sampled.token];
  }
  executor.closeSampler(requestId);
  return generated;
}

export const tokensOf = (outputs: readonly TokenOutput[]): TokenId[] => outputs.map(({ token }) => token);

/** A model's vocabulary without its weights. */
export interface Vocabulary {
  readonly model: LlamaModel;
  tokensOf(text: string): TokenId[];
  textOf(outputs: readonly TokenOutput[]): string;
}

/** Loads a model's vocabulary; it goes with the library. */
export function openVocabulary(native: Native, modelPath: string): Vocabulary {
  const model = loadModel(native, { paths: [modelPath], vocabOnly: true });
  const { pieces, offsets } = exportVocabulary(model);
  return {
    model,
    tokensOf: (text) => [...tokenize(model, text, { addSpecial: false, parseSpecial: true })],
    textOf: (outputs) =>
      Buffer.concat(
        tokensOf(outputs).map((token) => pieces.subarray(offsets[token], offsets[token + 1])),
      ).toString("utf8"),
  };
}
