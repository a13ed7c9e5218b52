/**
 * What runs a step. One interface, several implementations: `llama` (the library), `scripted` (tests), later `simulated`
 * (a cost model). The scheduler decides; an executor only does what the plan says, in its order.
 */
import type { StepPlan, StepResult } from "../plan.ts";
import type { KvLayout, SamplingParams, TokenId } from "../types.ts";

export type { CacheOperation, PlanRow, RowResult, StepPlan, StepResult } from "../plan.ts";

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

/** How many sequences can run at once: the setting, as far as these limits allow it. */
export function mostRunning(limits: ExecutorLimits, maxNumSeqs: number): number {
  return Math.min(maxNumSeqs, limits.sequenceIds, limits.batchTokens, limits.batchOutputs);
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
