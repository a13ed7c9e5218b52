/** Arithmetic over one row of logits. Pure. */
import type { TokenId, TokenLogprob, TokenOutput } from "../types.ts";

/** The token with the highest logit; of equal ones the lowest id, as the library does. NaN never wins. */
export function argmax(logits: Float32Array): TokenId {
  let best = 0;
  let highest = -Infinity;
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token] as number;
    if (logit > highest) {
      highest = logit;
      best = token;
    }
  }
  return best;
}

/** ln(sum(exp(logits))), computed so that it does not overflow. */
export function logSumExp(logits: Float32Array): number {
  let highest = -Infinity;
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token] as number;
    if (logit > highest) highest = logit;
  }
  if (highest === -Infinity) return -Infinity;
  let sum = 0;
  for (let token = 0; token < logits.length; token++) sum += Math.exp((logits[token] as number) - highest);
  return highest + Math.log(sum);
}

/** The `count` tokens with the highest logits, best first; of equal ones the lowest id first. */
export function topTokens(logits: Float32Array, count: number): TokenId[] {
  const kept = Math.min(count, logits.length);
  if (kept <= 0) return [];
  // A heap whose root is the worst of the kept tokens: almost every token is compared with the root and dropped.
  const heap: TokenId[] = [];
  const worse = (a: TokenId, b: TokenId): boolean => {
    const difference = (logits[a] as number) - (logits[b] as number);
    return difference === 0 ? a > b : difference < 0;
  };
  const sink = (start: number): void => {
    let parent = start;
    for (;;) {
      let worst = parent;
      for (const child of [2 * parent + 1, 2 * parent + 2]) {
        if (child < heap.length && worse(heap[child] as TokenId, heap[worst] as TokenId)) worst = child;
      }
      if (worst === parent) return;
      [heap[parent], heap[worst]] = [heap[worst] as TokenId, heap[parent] as TokenId];
      parent = worst;
    }
  };
  for (let token = 0; token < kept; token++) heap.push(token);
  for (let start = (kept >> 1) - 1; start >= 0; start--) sink(start);
  let threshold = logits[heap[0] as TokenId] as number;
  for (let token = kept; token < logits.length; token++) {
    if ((logits[token] as number) <= threshold) continue;
    heap[0] = token;
    sink(0);
    threshold = logits[heap[0]] as number;
  }
  return heap.sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b);
}

/** A token with its log-probability and those of the `top` most probable tokens. */
export function withLogprobs(logits: Float32Array, token: TokenId, top: number): TokenOutput {
  const total = logSumExp(logits);
  const logprobOf = (id: TokenId): TokenLogprob => ({ token: id, logprob: (logits[id] as number) - total });
  return { ...logprobOf(token), top: topTokens(logits, top).map(logprobOf) };
}
