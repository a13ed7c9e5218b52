/** Which samplers a request needs, in llama-server's default order. Pure. */
import type { ChainLink } from "../../native/sampler.ts";
import type { SamplingParams, TokenId } from "../types.ts";

export interface ChainContext {
  /** Tokens that "all of the context" (`repeatLastN` -1) stands for. */
  readonly contextTokens: number;
  /** Tokens that the model's file bans. */
  readonly suppressedTokens: readonly TokenId[];
  /** Seed of the choice, 32 bits. */
  readonly seed: number;
}

/**
 * The chain for these parameters, neutral samplers left out. It ends with "greedy" or "dist". A greedy chain keeps only
 * what can change which token is the most probable one.
 */
export function describeChain(sampling: SamplingParams, context: ChainContext): ChainLink[] {
  const links: ChainLink[] = [];
  const biases = [
    ...sampling.logitBias.map(({ token, bias }) => ({ token, bias })),
    ...context.suppressedTokens.map((token) => ({ token, bias: -Infinity })),
  ];
  if (biases.length > 0) links.push({ kind: "logit-bias", biases });

  const lastN = sampling.repeatLastN < 0 ? context.contextTokens : sampling.repeatLastN;
  const { repeatPenalty, frequencyPenalty, presencePenalty } = sampling;
  if (lastN > 0 && (repeatPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0)) {
    links.push({
      kind: "penalties",
      lastN,
      repeat: repeatPenalty,
      frequency: frequencyPenalty,
      presence: presencePenalty,
    });
  }

  const greedy = sampling.temperature <= 0;
  if (!greedy && sampling.topK > 0) links.push({ kind: "top-k", k: sampling.topK });
  if (sampling.typicalP < 1) links.push({ kind: "typical", p: sampling.typicalP });
  if (greedy) return [...links, { kind: "greedy" }];
  if (sampling.topP < 1) links.push({ kind: "top-p", p: sampling.topP });
  if (sampling.minP > 0) links.push({ kind: "min-p", p: sampling.minP });
  if (sampling.temperature !== 1) links.push({ kind: "temperature", temperature: sampling.temperature });
  return [...links, { kind: "dist", seed: context.seed }];
}

/**
 * How many of the most probable tokens decide the chain's choice: the rest cannot be chosen, whatever they are.
 * null: all tokens count.
 */
export function decisiveTokens(links: readonly ChainLink[]): number | null {
  const [first] = links;
  if (first?.kind === "greedy") return 1;
  return first?.kind === "top-k" ? first.k : null;
}

/** The library reads this seed as "a random one". */
const reservedSeed = 0xffffffff;

/** The seed as the 32 bits that the library takes, never its word for a random one. */
export function librarySeed(seed: number): number {
  const bits = seed >>> 0;
  return bits === reservedSeed ? reservedSeed - 1 : bits;
}

/**
 * The seed of a request that goes on after `nGenerated` tokens, where nobody knows how many random numbers these took:
 * after some not the one it began with, so that the same numbers are not drawn again.
 */
export function continuedSeed(seed: number, nGenerated: number): number {
  if (nGenerated === 0) return librarySeed(seed);
  const mixed = Math.imul(seed ^ Math.imul(nGenerated, 0x9e3779b1), 0x85ebca6b) >>> 0;
  return librarySeed(mixed ^ (mixed >>> 15));
}
