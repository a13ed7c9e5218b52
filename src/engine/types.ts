/**
 * The words that the engine's rooms, its processes and the API share. Plain data only: everything here crosses a process
 * boundary (structured clone) unless it says otherwise.
 */
import type { ErrorCode } from "../errors.ts";

/** An index into the model's vocabulary. */
export type TokenId = number;
/** A sequence of the library's KV cache: 0 to 255. */
export type SequenceId = number;

export interface LogitBias {
  readonly token: TokenId;
  /** Added to the logit; -Infinity bans the token. */
  readonly bias: number;
}

/** How the next token is chosen. Names as in llama.cpp; neutral values switch a sampler off. */
export interface SamplingParams {
  /** 0 is greedy. */
  readonly temperature: number;
  /** 0: off. */
  readonly topK: number;
  /** 1: off. */
  readonly topP: number;
  /** 0: off. */
  readonly minP: number;
  /** 1: off. */
  readonly typicalP: number;
  /** 1: off. */
  readonly repeatPenalty: number;
  /** How many last tokens the penalties look at; -1: all of the context. */
  readonly repeatLastN: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  /** null: a random one. */
  readonly seed: number | null;
  readonly logitBias: readonly LogitBias[];
  /** GBNF text with the rule `root`; null: unconstrained. It was compiled once by the tokeniser process before it comes here. */
  readonly grammar: string | null;
}

/** A log-probability of one token (natural logarithm, from the unmodified logits). */
export interface TokenLogprob {
  readonly token: TokenId;
  readonly logprob: number;
}

/** One token that the engine chose (or, for prompt log-probabilities, was given). */
export interface TokenOutput {
  readonly token: TokenId;
  /** Present when log-probabilities were asked for. */
  readonly logprob?: number;
  /** The most probable tokens, best first; present when log-probabilities were asked for. */
  readonly top?: readonly TokenLogprob[];
}

/** Work for the engine: token ids in, token ids out. */
export interface EngineRequest {
  readonly id: string;
  readonly promptTokens: readonly TokenId[];
  /** Tokens that were generated before (by an engine that has since crashed); they are continued, not repeated. */
  readonly outputTokens: readonly TokenId[];
  /** Most tokens to generate, `outputTokens` counted in. At least 1, unless `promptLogprobs` is asked for (then 0 is allowed). */
  readonly maxTokens: number;
  /** Do not stop at an end-of-generation token. */
  readonly ignoreEos: boolean;
  readonly sampling: SamplingParams;
  /** Alternatives with each generated token; -1: no log-probabilities, 0: the chosen token's only. */
  readonly topLogprobs: number;
  /** The same for the prompt's tokens; -1: none. Such a request computes its whole prompt. */
  readonly promptLogprobs: number;
  /** Separates prefix caches: API key, adapters and salt. Only requests with an equal value share KV cells. */
  readonly cacheNamespace: string;
  /** Lower runs first, as in vLLM. 0 is normal. */
  readonly priority: number;
  /** Run without other requests in the step: set for one that was running in two crashes. */
  readonly alone: boolean;
}

/** Why a request ended. `cancelled` and `error` are never seen by a client as a finish_reason. */
export type EngineFinishReason = "stop" | "length" | "cancelled" | "error";

/** Times of one request, in milliseconds as the engine measured them. */
export interface RequestTimings {
  readonly queueMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
  /** Prompt tokens found in the prefix cache when the request was first admitted. */
  readonly cachedTokens: number;
  readonly preemptions: number;
}

/** What one step brought to one request. */
export interface RequestUpdate {
  readonly id: string;
  readonly tokens: readonly TokenOutput[];
  /** One entry for each prompt token but the first, once, when the prompt has been computed. */
  readonly promptLogprobs?: readonly TokenOutput[];
  readonly finish?: {
    readonly reason: EngineFinishReason;
    readonly errorCode?: ErrorCode;
    readonly message?: string;
  };
  /** Present with the first token and with `finish`. */
  readonly timings?: RequestTimings;
}

/** Counters and gauges of one engine. Totals count from the start of its process. */
export interface EngineStats {
  readonly running: number;
  readonly waiting: number;
  /** KV cells in use by running requests and by the prefix cache. */
  readonly kvUsedTokens: number;
  /** Of those, cells that belong to running requests. */
  readonly kvLiveTokens: number;
  readonly kvTotalTokens: number;
  readonly steps: number;
  readonly promptTokens: number;
  readonly generatedTokens: number;
  readonly preemptions: number;
  /** In tokens, as vLLM counts them. */
  readonly prefixCacheQueries: number;
  readonly prefixCacheHits: number;
  /** Evicted cells. */
  readonly evictedTokens: number;
}

export type KvLayout = "unified" | "streams";
export type KvCacheType = "f32" | "f16" | "bf16" | "q8_0" | "q5_1" | "q5_0" | "q4_1" | "q4_0" | "iq4_nl";
export type SplitMode = "none" | "layer" | "row" | "tensor";

/** How one model is loaded and run. `null` and "auto" are decided by the engine when it has read the model. */
export interface EngineConfig {
  /** Key of the model in this server; appears in logs. */
  readonly modelKey: string;
  /** The GGUF files in order: one, or all parts of a split model. */
  readonly modelPaths: readonly string[];
  /** Most tokens of one request, prompt and answer together; null: the smaller of the model's own and 8192. */
  readonly contextWindow: number | null;
  readonly maxNumSeqs: number;
  /** Most tokens of one step; null: 512. */
  readonly maxNumBatchedTokens: number | null;
  /** An idle engine waits as long for more requests before its first step. */
  readonly maxWaitMs: number;
  /** Cells of the KV cache (unified layout); null: from the memory at hand. */
  readonly kvCacheTokens: number | null;
  readonly kvLayout: KvLayout | "auto";
  readonly cacheTypeK: KvCacheType;
  readonly cacheTypeV: KvCacheType;
  readonly flashAttn: "auto" | "on" | "off";
  readonly threads: number | null;
  readonly threadsBatch: number | null;
  /** -1: all that fit. */
  readonly gpuLayers: number;
  readonly splitMode: SplitMode;
  readonly tensorSplit: readonly number[];
  readonly mainGpu: number;
  /** Names of the library's devices; empty: all. */
  readonly devices: readonly string[];
  readonly mmap: boolean;
  readonly mlock: boolean;
  readonly prefixCache: boolean;
  /** Directory of the native libraries; null: the installed platform package. */
  readonly nativeDirectory: string | null;
  /** "scripted" runs without a model, for tests of the processes. */
  readonly executor: "llama" | "scripted";
}

/** What the engine found and decided when it loaded the model. */
export interface EngineInfo {
  readonly architecture: string;
  readonly description: string;
  readonly nParams: number;
  readonly sizeBytes: number;
  readonly nVocab: number;
  readonly nCtxTrain: number;
  readonly contextWindow: number;
  readonly kvLayout: KvLayout;
  readonly kvTotalTokens: number;
  readonly kvBytes: number;
  readonly maxNumSeqs: number;
  readonly maxNumBatchedTokens: number;
  readonly flashAttn: boolean;
  readonly threads: number;
  /** Such as "CPU", "100% GPU" or "40%/60% CPU/GPU". */
  readonly processor: string;
  readonly libraryVersion: string;
  readonly loadMs: number;
}

export type { VocabularyData } from "../native/vocabulary.ts";
