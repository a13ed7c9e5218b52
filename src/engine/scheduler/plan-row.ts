/** The part of one request in the next step. Pure. */
import type { PlanRow } from "../plan.ts";
import { wantsPromptLogprobs, type RequestState } from "./request-state.ts";

/**
 * As many of a request's missing tokens as the step has room for: `budget` tokens, `outputs` rows of logits, at most
 * `mostTargets` log-probabilities of its prompt. null when there is nothing to compute.
 */
export function planRow(
  state: RequestState,
  budget: number,
  outputs: number,
  mostTargets: number,
): PlanRow | null {
  const { request, tokens, nComputed } = state;
  const nPrompt = request.promptTokens.length;
  const withTargets = wantsPromptLogprobs(state) && nComputed < nPrompt && !state.promptLogprobsSent;
  const n = Math.min(
    tokens.length - nComputed,
    budget,
    withTargets ? Math.min(outputs, mostTargets) : Infinity,
  );
  if (n <= 0) return null;
  const end = nComputed + n;
  const sample = end === tokens.length && request.maxTokens > state.nOutput;
  const row = {
    requestId: request.id,
    sequence: state.sequence!,
    start: nComputed,
    tokens: tokens.slice(nComputed, end),
  };
  if (!withTargets) return { ...row, outputs: sample ? "last" : "none" };
  return { ...row, outputs: "all", targets: tokens.slice(nComputed + 1, Math.min(end + 1, nPrompt)), sample };
}
