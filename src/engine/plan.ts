/**
 * What the scheduler hands to an executor and gets back. Plain data, so that the scheduler is tested without a model and
 * a simulated executor runs the same plans.
 */
import type { ErrorCode } from "../errors.ts";
import type { SequenceId, TokenId, TokenOutput } from "./types.ts";

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
  /** The request cannot go on, and the others can; it has no token then. */
  readonly error?: { readonly code: ErrorCode; readonly message: string };
  /** The token that was sampled; null when none was asked for. */
  readonly sampled: TokenOutput | null;
  /** For "all": one for each of `targets`. */
  readonly targets: readonly TokenOutput[] | null;
}

/** "no-room": the library found no cells; operations were applied, but no row was. */
export type StepResult =
  | { readonly status: "done"; readonly rows: readonly RowResult[] }
  | { readonly status: "no-room" };

/** Rows of logits that a row may take. */
export function outputsOf(row: PlanRow): number {
  if (row.outputs === "all") return row.tokens.length;
  return row.outputs === "last" ? 1 : 0;
}
