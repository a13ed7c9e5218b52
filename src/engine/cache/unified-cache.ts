/**
 * The unified layout: one pool of cells, and sharing is a bit in a cell. Every token of the tree stands in exactly one
 * cell, so the cells in use are the tokens of the tree.
 */
import type { CacheOperation } from "../plan.ts";
import type { SequenceId, TokenId } from "../types.ts";
import {
  invariant,
  type CacheUsage,
  type KvCache,
  type KvCacheOptions,
  type OpenedSequence,
  type PrefixMatch,
} from "./kv-cache.ts";
import {
  createRoot,
  endOf,
  mergeWithOnlyChild,
  split,
  unlink,
  walk,
  type PrefixNode,
} from "./prefix-tree.ts";

/** Evicting a few cells more at once saves an operation in each of the next steps. */
const EVICTION_GRAIN_TOKENS = 64;

interface SequenceState {
  readonly id: SequenceId;
  readonly namespace: string;
  tail: PrefixNode;
  length: number;
  live: boolean;
  /** Logical time of the last use, for LRU. */
  lastUsed: number;
}

export class UnifiedCache implements KvCache {
  readonly #options: KvCacheOptions;
  readonly #roots = new Map<string, PrefixNode>();
  readonly #sequences = new Map<SequenceId, SequenceState>();
  #operations: CacheOperation[] = [];
  #usedTokens = 0;
  #liveTokens = 0;
  #reservedTokens = 0;
  #evictedTokens = 0;
  #clock = 0;

  constructor(options: KvCacheOptions) {
    this.#options = options;
  }

  get usage(): CacheUsage {
    return {
      usedTokens: this.#usedTokens,
      liveTokens: this.#liveTokens,
      totalTokens: this.#options.totalTokens,
      evictedTokens: this.#evictedTokens,
    };
  }

  match(namespace: string, tokens: readonly TokenId[]): PrefixMatch {
    const root = this.#roots.get(namespace);
    if (root === undefined) return { length: 0, liveLength: 0 };
    const { node, nMatched } = walk(root, tokens, tokens.length);
    const length = node.start + nMatched;
    let lowest: PrefixNode | null = node;
    while (lowest !== null && lowest.nLive === 0) lowest = lowest.parent;
    return { length, liveLength: lowest === null ? 0 : Math.min(length, endOf(lowest)) };
  }

  open(namespace: string, tokens: readonly TokenId[], limit: number): OpenedSequence | null {
    const id = this.#takeId();
    if (id === null) return null;
    let root = this.#roots.get(namespace);
    if (root === undefined) this.#roots.set(namespace, (root = createRoot()));
    const { node, nMatched } = walk(root, tokens, limit);
    const tail = nMatched < node.tokens.length ? split(node, nMatched) : node;
    const length = endOf(tail);
    const state: SequenceState = { id, namespace, tail, length, live: true, lastUsed: ++this.#clock };
    if (length > 0) {
      const from = this.#mostRecent(tail.owners);
      from.lastUsed = this.#clock;
      this.#operations.push({ kind: "copy", from: from.id, to: id, start: 0, end: length });
    }
    this.#sequences.set(id, state);
    for (let at: PrefixNode | null = tail; at !== null; at = at.parent) at.owners.add(id);
    this.#addLive(tail, 1);
    return { sequence: id, cachedTokens: length };
  }

  reserve(sequence: SequenceId, nTokens: number): boolean {
    if (this.#state(sequence).length + nTokens > this.#options.sequenceTokens) return false;
    const missing = this.#reservedTokens + nTokens - (this.#options.totalTokens - this.#usedTokens);
    if (missing > 0 && !this.#evict(missing)) return false;
    this.#reservedTokens += nTokens;
    return true;
  }

  append(sequence: SequenceId, tokens: readonly TokenId[]): void {
    const state = this.#state(sequence);
    this.#reservedTokens -= tokens.length;
    let done = 0;
    while (done < tokens.length) {
      const child = state.tail.children.get(tokens[done]!);
      if (child === undefined) {
        this.#extend(state, done === 0 ? tokens : tokens.slice(done));
        return;
      }
      done += this.#adopt(state, child, tokens, done);
    }
  }

  releaseReservations(): void {
    this.#reservedTokens = 0;
  }

  close(sequence: SequenceId, keep: boolean): void {
    const state = this.#state(sequence);
    state.live = false;
    state.lastUsed = ++this.#clock;
    this.#addLive(state.tail, -1);
    if (!keep || state.length === 0) {
      this.#drop(state);
    } else if (state.tail.owners.size > 1) {
      // another sequence holds all of it: that one stands for both
      this.#drop(state);
      this.#mostRecent(state.tail.owners).lastUsed = this.#clock;
    }
  }

  canGrow(nTokens: number): boolean {
    return this.#liveTokens + this.#reservedTokens + nTokens <= this.#options.totalTokens;
  }

  evictIdle(): number {
    const before = this.#usedTokens;
    for (const state of [...this.#sequences.values()]) if (!state.live) this.#drop(state);
    const freed = before - this.#usedTokens;
    this.#evictedTokens += freed;
    return freed;
  }

  takeOperations(): CacheOperation[] {
    const operations = this.#operations;
    this.#operations = [];
    return operations;
  }

  tokensOf(sequence: SequenceId): TokenId[] {
    const runs: TokenId[][] = [];
    for (let at: PrefixNode | null = this.#state(sequence).tail; at !== null; at = at.parent)
      runs.push(at.tokens);
    return runs.reverse().flat();
  }

  liveSequences(): SequenceId[] {
    return [...this.#sequences.values()].filter((state) => state.live).map((state) => state.id);
  }

  checkIntegrity(): void {
    let used = 0;
    let live = 0;
    const visit = (node: PrefixNode): void => {
      used += node.tokens.length;
      const nLive = [...node.owners].filter((id) => this.#state(id).live).length;
      invariant(
        nLive === node.nLive,
        () => `node at ${node.start} counts ${node.nLive} live owners, has ${nLive}`,
      );
      if (nLive > 0) live += node.tokens.length;
      for (const [first, child] of node.children) {
        invariant(
          child.parent === node && child.start === endOf(node),
          () => `child at ${child.start} is misplaced`,
        );
        invariant(child.tokens[0] === first, () => `child at ${child.start} is filed under another token`);
        invariant(child.owners.size > 0, () => `node at ${child.start} has no owner`);
        for (const id of child.owners) invariant(node.owners.has(id), () => `owner ${id} skips a node`);
        visit(child);
      }
    };
    for (const root of this.#roots.values()) visit(root);
    invariant(used === this.#usedTokens, () => `${this.#usedTokens} cells counted, ${used} in the tree`);
    invariant(live === this.#liveTokens, () => `${this.#liveTokens} live cells counted, ${live} in the tree`);
    invariant(
      used + this.#reservedTokens <= this.#options.totalTokens,
      () => `${used} cells of ${this.#options.totalTokens}`,
    );
    for (const state of this.#sequences.values()) {
      invariant(endOf(state.tail) === state.length, () => `sequence ${state.id} does not end at its tail`);
      invariant(state.tail.owners.has(state.id), () => `sequence ${state.id} does not own its tail`);
      for (const child of state.tail.children.values())
        invariant(!child.owners.has(state.id), () => `sequence ${state.id} goes on after its tail`);
    }
  }

  #state(sequence: SequenceId): SequenceState {
    const state = this.#sequences.get(sequence);
    if (state === undefined) throw new Error(`unknown sequence ${sequence}`);
    return state;
  }

  #mostRecent(owners: ReadonlySet<SequenceId>): SequenceState {
    let best: SequenceState | null = null;
    for (const id of owners) {
      const state = this.#state(id);
      if (best === null || state.lastUsed > best.lastUsed) best = state;
    }
    return best!;
  }

  #takeId(): SequenceId | null {
    for (let id = 0; id < this.#options.sequenceIds; id++) if (!this.#sequences.has(id)) return id;
    const victim = this.#leastRecentIdle();
    if (victim === null) return null;
    this.#evictedTokens += this.#drop(victim);
    return victim.id;
  }

  #leastRecentIdle(): SequenceState | null {
    let best: SequenceState | null = null;
    for (const state of this.#sequences.values())
      if (!state.live && (best === null || state.lastUsed < best.lastUsed)) best = state;
    return best;
  }

  /** Adds to the live count of a path, and to the live cells where the count becomes or was zero. */
  #addLive(tail: PrefixNode, change: 1 | -1): void {
    for (let at: PrefixNode | null = tail; at !== null; at = at.parent) {
      const before = at.nLive;
      at.nLive += change;
      if (before === 0 || at.nLive === 0) this.#liveTokens += change * at.tokens.length;
    }
  }

  /** Tokens that nobody else has after this tail. */
  #extend(state: SequenceState, tokens: readonly TokenId[]): void {
    const { tail } = state;
    if (tail.parent !== null && tail.owners.size === 1) {
      for (const token of tokens) tail.tokens.push(token);
    } else {
      const child: PrefixNode = {
        parent: tail,
        start: endOf(tail),
        tokens: [...tokens],
        children: new Map(),
        owners: new Set([state.id]),
        nLive: 1,
      };
      tail.children.set(child.tokens[0]!, child);
      state.tail = child;
    }
    state.length += tokens.length;
    this.#usedTokens += tokens.length;
    this.#liveTokens += tokens.length;
  }

  /** Another sequence holds the same tokens: gives this one's cells back and shares the other's. Returns how many. */
  #adopt(state: SequenceState, child: PrefixNode, tokens: readonly TokenId[], done: number): number {
    let n = 0;
    while (n < child.tokens.length && done + n < tokens.length && child.tokens[n] === tokens[done + n]) n++;
    const node = n < child.tokens.length ? split(child, n) : child;
    const from = this.#mostRecent(node.owners).id;
    const start = state.length;
    this.#operations.push({ kind: "remove", sequence: state.id, start, end: start + n });
    this.#operations.push({ kind: "copy", from, to: state.id, start, end: start + n });
    node.owners.add(state.id);
    if (node.nLive++ === 0) this.#liveTokens += n;
    state.tail = node;
    state.length += n;
    return n;
  }

  /** Frees at least so many cells, the least recently used first, from the ends of idle sequences. */
  #evict(nTokens: number): boolean {
    if (this.#usedTokens - this.#liveTokens < nTokens) return false;
    let missing = nTokens;
    while (missing > 0) {
      const victim = this.#leastRecentIdle();
      if (victim === null) return false;
      const freed = this.#trim(victim, Math.max(missing, EVICTION_GRAIN_TOKENS));
      this.#evictedTokens += freed;
      missing -= freed;
    }
    return true;
  }

  /** Cuts up to `nTokens` cells that only this sequence owns off its end; what then stands for nothing is dropped. */
  #trim(state: SequenceState, nTokens: number): number {
    let left = nTokens;
    while (left > 0 && state.tail.parent !== null && state.tail.owners.size === 1) {
      const node = state.tail;
      const taken = Math.min(left, node.tokens.length);
      const first = node.tokens[0]!;
      node.tokens.length -= taken;
      state.length -= taken;
      this.#usedTokens -= taken;
      left -= taken;
      if (node.tokens.length === 0) {
        unlink(node, first);
        state.tail = node.parent!;
      }
    }
    const freed = nTokens - left;
    if (state.length === 0 || state.tail.owners.size > 1) this.#drop(state);
    else this.#operations.push({ kind: "remove", sequence: state.id, start: state.length, end: -1 });
    return freed;
  }

  /** Forgets a sequence and the cells that only it owns; returns how many those were. */
  #drop(state: SequenceState): number {
    let freed = 0;
    this.#operations.push({ kind: "remove", sequence: state.id, start: 0, end: -1 });
    this.#sequences.delete(state.id);
    for (let at: PrefixNode | null = state.tail; at !== null; at = at.parent) {
      at.owners.delete(state.id);
      if (at.parent === null) {
        if (at.owners.size === 0) this.#roots.delete(state.namespace);
      } else if (at.owners.size === 0) {
        freed += at.tokens.length;
        unlink(at, at.tokens[0]!);
      } else {
        mergeWithOnlyChild(at);
      }
    }
    this.#usedTokens -= freed;
    return freed;
  }
}
