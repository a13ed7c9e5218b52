/**
 * Prompts that smollm2-135m continues by counting on. Every greedy choice of the first 120 tokens is ahead of the
 * second-best one by more than 1.7 in log-probability, so that neither other requests in a step nor computing a prompt in other pieces changes an
 * answer, and each part of an answer occurs once, so that a gap or a repeat shows.
 */

function count(first: number, many: number, form: (each: number) => string): string {
  return Array.from({ length: many }, (_, index) => form(first + index)).join("");
}

/** Tokens for which the continuations are certain. */
export const countingTokens = 120;

/** Eight of them, all different. */
export const countingPrompts: readonly string[] = [
  count(12, 10, (each) => `${each}, `).trim(),
  count(21, 10, (each) => `${each}, `).trim(),
  count(21, 8, (each) => `row ${each}\n`),
  count(31, 8, (each) => `row ${each}\n`),
  count(21, 8, (each) => `line ${each}\n`),
  count(11, 8, (each) => `row ${each}; `).trim(),
  count(51, 8, (each) => `step ${each}; `).trim(),
  count(31, 8, (each) => `track ${each}; `).trim(),
];
