/**
 * What runs a step. One interface, several implementations: `llama` (the library), `scripted` (tests), later `simulated`
 * (a cost model). The scheduler decides; an executor only does what the plan says, in its order.
 */
import type { KvLayout, SamplingParams, SequenceId, TokenId, TokenOutput } from "../types.ts";

/** Changes to the KV cache, applied in order before the rows are computed. `end` is exclusive; -1: to the end. */
export type CacheOperation =
  | {
      readonly kind: "copy";
      readonly from: SequenceId;
      readonly to: SequenceId;
      readonly start: number;
      readonly end: number;
    }
  | { readonly kind: "remove"; readonly sequence: SequenceId; readonly start: number; readonly end: number };

/** Consecutive tokens of one sequence. */
export interface PlanRow {
  readonly requestId: string;
  readonly sequence: SequenceId;
  /** Position of the first token; equals the number of tokens that the sequence holds before the step. */
  readonly start: number;
  readonly tokens: readonly TokenId[];
  /** "last": sample one token after the last one. "all": also give log-probabilities of `targets`. "none": neither. */
  readonly outputs: "none" | "last" | "all";
  /** For "all": the token that follows each of `tokens`; one shorter when the last one is followed by the sampled token. */
  readonly targets?: readonly TokenId[];
  /** For "all": sample a token after the last one too. */
  readonly sample?: boolean;
}

export interface StepPlan {
  readonly operations: readonly CacheOperation[];
  readonly rows: readonly PlanRow[];
}

export interface RowResult {
  readonly requestId: string;
  /** The token that was sampled; null when none was asked for. */
  readonly sampled: TokenOutput | null;
  /** For "all": one for each of `targets`. */
  readonly targets: readonly TokenOutput[] | null;
}

/** "no-room": the library found no cells; operations were applied, but no row was. */
export type StepResult =
  | { readonly status: "done"; readonly rows: readonly RowResult[] }
  | { readonly status: "no-room" };

/** Sampling of one request. */
export interface SamplerSpec {
  readonly sampling: SamplingParams;
  /** Tokens that the penalties (and, for output tokens, the grammar) take as already seen. */
  readonly promptTokens: readonly TokenId[];
  readonly outputTokens: readonly TokenId[];
  /** -1: none. */
  readonly topLogprobs: number;
  readonly promptLogprobs: number;
}

/** The limits that an executor was created with. */
export interface ExecutorLimits {
  readonly kvLayout: KvLayout;
  /** Cells in all (unified), or of all streams together. */
  readonly kvTotalTokens: number;
  /** Most cells of one sequence. */
  readonly sequenceTokens: number;
  /** Usable sequence ids: 0 to sequenceIds - 1. */
  readonly sequenceIds: number;
  /** Most tokens in one step. */
  readonly batchTokens: number;
  /** Most rows of logits in one step. */
  readonly batchOutputs: number;
}

export interface Executor {
  readonly limits: ExecutorLimits;
  /** Prepares the sampler of a request; throws `invalid_grammar` for a grammar that does not compile. */
  openSampler(requestId: string, spec: SamplerSpec): void;
  closeSampler(requestId: string): void;
  /** Is this token one that ends a generation? */
  isEndOfGeneration(token: TokenId): boolean;
  /** Runs one step, synchronously. Throws `InkstoneError` when the library reports a failure that is not "no-room". */
  step(plan: StepPlan): StepResult;
  /** Cells in use, where the implementation can tell (tests compare it with the cache's own count); null: unknown. */
  usedCells(): number | null;
  dispose(): void;
}
