/** An executor that tells which requests it is about to compute, so that the parent knows what a crash was about. */
import type { Executor } from "../executor/executor.ts";

/**
 * Wraps an executor. `announce` is called with request ids and the number of prompt tokens before a native call, and only
 * when the ids are others than in the call before or when there are prompt tokens. Compiling a grammar is such a call too.
 */
export function watchExecutor(
  executor: Executor,
  announce: (requestIds: readonly string[], nPromptTokens: number) => void,
): Executor {
  let announced: readonly string[] = [];
  const tell = (requestIds: readonly string[], nPromptTokens = 0): void => {
    const isSame =
      requestIds.length === announced.length && requestIds.every((id, index) => id === announced[index]);
    if (isSame && nPromptTokens === 0) return;
    announced = requestIds;
    announce(requestIds, nPromptTokens);
  };
  return {
    limits: executor.limits,
    openSampler(requestId, spec) {
      if (spec.sampling.grammar !== null) tell([requestId]);
      executor.openSampler(requestId, spec);
    },
    closeSampler: (requestId) => executor.closeSampler(requestId),
    isEndOfGeneration: (token) => executor.isEndOfGeneration(token),
    step(plan) {
      const nPromptTokens = plan.rows.reduce((sum, { tokens }) => sum + tokens.length - 1, 0);
      tell(uniqueIds(plan.rows.map((row) => row.requestId)), nPromptTokens);
      return executor.step(plan);
    },
    usedCells: () => executor.usedCells(),
    dispose: () => executor.dispose(),
  };
}

/** In the order of their first appearance. Rows of one request stand together. */
function uniqueIds(ids: readonly string[]): string[] {
  return ids.filter((id, index) => id !== ids[index - 1]);
}
