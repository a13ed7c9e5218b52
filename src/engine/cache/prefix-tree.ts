/**
 * A radix tree over token ids. A node is a run of tokens that the same sequences own; a sequence is a path from the root
 * that ends at the end of a node. One tree holds one namespace.
 */
import type { SequenceId, TokenId } from "../types.ts";

export interface PrefixNode {
  parent: PrefixNode | null;
  /** Position of the first token. */
  start: number;
  tokens: TokenId[];
  readonly children: Map<TokenId, PrefixNode>;
  /** Every sequence that passes through. Never empty, but at the root. */
  readonly owners: Set<SequenceId>;
  /** How many of the owners are live. */
  nLive: number;
}

export function createRoot(): PrefixNode {
  return { parent: null, start: 0, tokens: [], children: new Map(), owners: new Set(), nLive: 0 };
}

/** The end position of a node. */
export function endOf(node: PrefixNode): number {
  return node.start + node.tokens.length;
}

/** Where a walk along `tokens` ends: in `node`, after `nMatched` tokens of it. */
export interface TreePosition {
  readonly node: PrefixNode;
  readonly nMatched: number;
}

/** Follows `tokens` from the root as far as the tree goes, at most `limit` tokens. */
export function walk(root: PrefixNode, tokens: readonly TokenId[], limit: number): TreePosition {
  const end = Math.min(limit, tokens.length);
  let node = root;
  let position = 0;
  while (position < end) {
    const child = node.children.get(tokens[position]!);
    if (child === undefined) break;
    let n = 0;
    while (n < child.tokens.length && position < end && child.tokens[n] === tokens[position]) {
      n++;
      position++;
    }
    node = child;
    if (n < child.tokens.length) return { node, nMatched: n };
  }
  return { node, nMatched: node.tokens.length };
}

/**
 * Cuts a node in two after `nTokens`. The given node object becomes the lower half, so that sequences which end in it stay
 * right; returns the upper one.
 */
export function split(node: PrefixNode, nTokens: number): PrefixNode {
  const parent = node.parent!;
  const upper: PrefixNode = {
    parent,
    start: node.start,
    tokens: node.tokens.slice(0, nTokens),
    children: new Map(),
    owners: new Set(node.owners),
    nLive: node.nLive,
  };
  node.tokens = node.tokens.slice(nTokens);
  node.start += nTokens;
  node.parent = upper;
  upper.children.set(node.tokens[0]!, node);
  parent.children.set(upper.tokens[0]!, upper);
  return upper;
}

/** Takes a node out of its parent. */
export function unlink(node: PrefixNode, firstToken: TokenId): void {
  node.parent!.children.delete(firstToken);
}

/** Joins a node with its only child when the same sequences own both; the child object survives. */
export function mergeWithOnlyChild(node: PrefixNode): void {
  if (node.parent === null || node.children.size !== 1) return;
  const child: PrefixNode = node.children.values().next().value!;
  if (child.owners.size !== node.owners.size) return;
  child.tokens = node.tokens.concat(child.tokens);
  child.start = node.start;
  child.parent = node.parent;
  node.parent.children.set(child.tokens[0]!, child);
}
