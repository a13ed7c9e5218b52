/**
 * The streams layout: every sequence has cells of its own. Sharing copies a stream, which is cheap beside computing it, and
 * an idle stream is kept until its id is needed.
 */
import type { CacheOperation } from "../plan.ts";
import type { SequenceId, TokenId } from "../types.ts";
import {
  commonPrefixLength,
  invariant,
  type CacheUsage,
  type KvCache,
  type KvCacheOptions,
  type OpenedSequence,
  type PrefixMatch,
} from "./kv-cache.ts";

/** Below this a prompt's start is computed rather than copied. */
const SMALLEST_COPY_TOKENS = 16;

interface Stream {
  readonly id: SequenceId;
  namespace: string;
  tokens: TokenId[];
  live: boolean;
  reservedTokens: number;
  lastUsed: number;
}

export class StreamsCache implements KvCache {
  readonly #options: KvCacheOptions;
  readonly #streams: Stream[];
  #operations: CacheOperation[] = [];
  #evictedTokens = 0;
  #clock = 0;

  constructor(options: KvCacheOptions) {
    this.#options = options;
    this.#streams = Array.from({ length: options.sequenceIds }, (_, id) => ({
      id,
      namespace: "",
      tokens: [],
      live: false,
      reservedTokens: 0,
      lastUsed: 0,
    }));
  }

  get usage(): CacheUsage {
    let usedTokens = 0;
    let liveTokens = 0;
    for (const stream of this.#streams) {
      usedTokens += stream.tokens.length;
      if (stream.live) liveTokens += stream.tokens.length;
    }
    return {
      usedTokens,
      liveTokens,
      totalTokens: this.#options.totalTokens,
      evictedTokens: this.#evictedTokens,
    };
  }

  match(namespace: string, tokens: readonly TokenId[]): PrefixMatch {
    const best = this.#bestMatch(namespace, tokens, tokens.length);
    return { length: best?.length ?? 0, liveLength: 0 };
  }

  open(namespace: string, tokens: readonly TokenId[], limit: number): OpenedSequence | null {
    const source = this.#bestMatch(namespace, tokens, limit);
    const target = this.#chooseTarget(source);
    if (target === null) return null;
    const shared = source?.length ?? 0;
    if (source !== null && source.stream === target) {
      this.#cut(target, shared);
    } else {
      this.#cut(target, 0);
      if (source !== null) {
        this.#operations.push({ kind: "copy", from: source.stream.id, to: target.id, start: 0, end: shared });
        target.tokens = source.stream.tokens.slice(0, shared);
        source.stream.lastUsed = ++this.#clock;
      }
    }
    target.namespace = namespace;
    target.live = true;
    target.lastUsed = ++this.#clock;
    return { sequence: target.id, cachedTokens: shared };
  }

  reserve(sequence: SequenceId, nTokens: number): boolean {
    const stream = this.#stream(sequence);
    if (stream.tokens.length + stream.reservedTokens + nTokens > this.#options.sequenceTokens) return false;
    stream.reservedTokens += nTokens;
    return true;
  }

  append(sequence: SequenceId, tokens: readonly TokenId[]): void {
    const stream = this.#stream(sequence);
    stream.reservedTokens -= tokens.length;
    for (const token of tokens) stream.tokens.push(token);
  }

  releaseReservations(): void {
    for (const stream of this.#streams) stream.reservedTokens = 0;
  }

  close(sequence: SequenceId, keep: boolean): void {
    const stream = this.#stream(sequence);
    stream.live = false;
    stream.lastUsed = ++this.#clock;
    if (!keep) this.#cut(stream, 0);
  }

  canGrow(): boolean {
    return true;
  }

  evictIdle(): number {
    let freed = 0;
    for (const stream of this.#streams) {
      if (stream.live) continue;
      freed += stream.tokens.length;
      this.#cut(stream, 0);
    }
    this.#evictedTokens += freed;
    return freed;
  }

  takeOperations(): CacheOperation[] {
    const operations = this.#operations;
    this.#operations = [];
    return operations;
  }

  tokensOf(sequence: SequenceId): TokenId[] {
    return [...this.#stream(sequence).tokens];
  }

  liveSequences(): SequenceId[] {
    return this.#streams.filter((stream) => stream.live).map((stream) => stream.id);
  }

  checkIntegrity(): void {
    for (const { id, tokens, reservedTokens, live } of this.#streams) {
      invariant(
        tokens.length + reservedTokens <= this.#options.sequenceTokens,
        () => `stream ${id} is over its length`,
      );
      invariant(reservedTokens >= 0, () => `stream ${id} appended more than was reserved`);
      invariant(live || reservedTokens === 0, () => `idle stream ${id} has a reservation`);
    }
  }

  #stream(sequence: SequenceId): Stream {
    const stream = this.#streams[sequence];
    if (stream === undefined) throw new Error(`unknown sequence ${sequence}`);
    return stream;
  }

  #bestMatch(
    namespace: string,
    tokens: readonly TokenId[],
    limit: number,
  ): { readonly stream: Stream; readonly length: number } | null {
    let best: { stream: Stream; length: number } | null = null;
    for (const stream of this.#streams) {
      if (stream.namespace !== namespace || stream.tokens.length < SMALLEST_COPY_TOKENS) continue;
      const length = Math.min(limit, commonPrefixLength(stream.tokens, tokens));
      if (length < SMALLEST_COPY_TOKENS) continue;
      // of equal ones an idle stream: it may be continued in place
      if (
        best === null ||
        length > best.length ||
        (length === best.length && best.stream.live && !stream.live)
      )
        best = { stream, length };
    }
    return best;
  }

  /**
   * A conversation goes on in its own stream; otherwise the lowest empty one (a step is fastest when its ids are dense),
   * then the least recently used idle one, the source itself last.
   */
  #chooseTarget(source: { readonly stream: Stream; readonly length: number } | null): Stream | null {
    if (source !== null && !source.stream.live && source.length === source.stream.tokens.length)
      return source.stream;
    let oldest: Stream | null = null;
    for (const stream of this.#streams) {
      if (stream.live) continue;
      if (stream.tokens.length === 0) return stream;
      if (stream === source?.stream) continue;
      if (oldest === null || stream.lastUsed < oldest.lastUsed) oldest = stream;
    }
    if (oldest === null && source !== null && !source.stream.live) oldest = source.stream;
    if (oldest !== null)
      this.#evictedTokens += oldest.tokens.length - (oldest === source?.stream ? source.length : 0);
    return oldest;
  }

  #cut(stream: Stream, length: number): void {
    if (stream.tokens.length === length) return;
    stream.tokens.length = length;
    this.#operations.push({ kind: "remove", sequence: stream.id, start: length, end: -1 });
  }
}
