/** An executor that tells which requests it is about to compute, so that the parent knows what a crash was about. */
import type { Executor } from "../executor/executor.ts";

/**
 * Wraps an executor. `announce` is called with request ids before a native call, and only when they are others than in
 * the call before. Compiling a grammar is such a call too.
 */
export function watchExecutor(
  executor: Executor,
  announce: (requestIds: readonly string[]) => void,
): Executor {
  let announced: readonly string[] = [];
  const tell = (requestIds: readonly string[]): void => {
    if (requestIds.length === announced.length && requestIds.every((id, index) => id === announced[index]))
      return;
    announced = requestIds;
    announce(requestIds);
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
      tell(uniqueIds(plan.rows.map((row) => row.requestId)));
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
