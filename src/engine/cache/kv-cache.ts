/**
 * The KV cache as the scheduler sees it: which sequences exist, what they hold, what is shared, what can be evicted. Pure
 * bookkeeping; the library's side of it are the operations that `takeOperations` hands to the next step.
 */
import type { CacheOperation } from "../plan.ts";
import type { SequenceId, TokenId } from "../types.ts";

/** How much of a token list is already in the cache. */
export interface PrefixMatch {
  readonly length: number;
  /** The part of `length` whose cells belong to a live sequence: sharing it takes nothing from what can be evicted. */
  readonly liveLength: number;
}

export interface OpenedSequence {
  readonly sequence: SequenceId;
  /** Leading tokens that need no computing. */
  readonly cachedTokens: number;
}

export interface CacheUsage {
  readonly usedTokens: number;
  /** Cells of live sequences, shared ones counted once. */
  readonly liveTokens: number;
  readonly totalTokens: number;
  readonly evictedTokens: number;
}

/** One layout's bookkeeping. A live sequence belongs to a running request; an idle one is kept for its prefix. */
export interface KvCache {
  readonly usage: CacheUsage;
  /** The longest prefix of `tokens` that the cache holds in this namespace. */
  match(namespace: string, tokens: readonly TokenId[]): PrefixMatch;
  /**
   * Starts a live sequence that shares the longest cached prefix of `tokens`, at most `limit` tokens of it.
   * Returns null when every sequence id belongs to a live sequence.
   */
  open(namespace: string, tokens: readonly TokenId[], limit: number): OpenedSequence | null;
  /** Sets cells aside for tokens that the next step appends, evicting idle ones; false (and nothing set aside) when there is no room. */
  reserve(sequence: SequenceId, nTokens: number): boolean;
  /** Records tokens that a step has computed, out of what was reserved. */
  append(sequence: SequenceId, tokens: readonly TokenId[]): void;
  /** Gives back what was reserved and not appended. */
  releaseReservations(): void;
  /** Ends a live sequence; with `keep` its cells stay for later requests until they are evicted. */
  close(sequence: SequenceId, keep: boolean): void;
  /** Could a live set of cells grow by so many, counting what eviction would free? */
  canGrow(nTokens: number): boolean;
  /** Drops every idle sequence; returns the number of cells freed. */
  evictIdle(): number;
  /** The operations since the last call, in order. */
  takeOperations(): CacheOperation[];
  /** Tokens that a sequence holds, for checks. */
  tokensOf(sequence: SequenceId): TokenId[];
  liveSequences(): SequenceId[];
  /** Throws when the bookkeeping contradicts itself. For tests; walks everything. */
  checkIntegrity(): void;
}

export interface KvCacheOptions {
  readonly totalTokens: number;
  /** Most tokens of one sequence. */
  readonly sequenceTokens: number;
  readonly sequenceIds: number;
}

/** Number of equal leading tokens. */
export function commonPrefixLength(a: readonly TokenId[], b: readonly TokenId[]): number {
  const end = Math.min(a.length, b.length);
  let i = 0;
  while (i < end && a[i] === b[i]) i++;
  return i;
}

/** Throws an integrity failure with a message that says which rule broke. */
export function invariant(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Error(`KV cache integrity: ${message()}`);
}
