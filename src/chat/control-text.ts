/**
 * Keeps what users wrote from becoming control tokens: a message that holds "<|im_end|>" must stay text, or its writer
 * could end the turn and speak as the system.
 */

import { InkstoneError } from "../errors.ts";

/** Deepest nesting of a value: templates walk it recursively. */
const maxDepth = 64;

/** Finds control-token text in strings that users wrote. */
export interface ControlTextGuard {
  /**
   * A copy of a JSON value in which every control text, in strings and in keys, is replaced by what `replace` gives.
   * A half of a control text at an end of a string counts too: the template may put the other half beside it.
   * Throws `invalid_request` for a value that is nested more than 64 levels deep.
   */
  map<T>(value: T, replace: (controlText: string) => string): T;
}

interface Node {
  readonly next: Map<number, Node>;
  isEnd: boolean;
}

/** A guard for these control texts. */
export function createControlTextGuard(controlTexts: readonly string[]): ControlTextGuard {
  const forward = buildTrie(controlTexts);
  const backward = buildTrie(controlTexts.map(reverse));
  const isFirstUnit = new Uint8Array(0x10000);
  for (const unit of forward.next.keys()) isFirstUnit[unit] = 1;
  const maxLength = controlTexts.reduce((longest, text) => Math.max(longest, text.length), 0);

  const mapText = (text: string, replace: (controlText: string) => string): string => {
    if (maxLength === 0 || text === "") return text;
    const { start, end } = findCutEnds(text, forward, backward, maxLength);
    let result = "";
    let copied = 0;
    const take = (from: number, to: number): void => {
      result += text.slice(copied, from) + replace(text.slice(from, to));
      copied = to;
    };
    if (start.to > start.from) take(start.from, start.to);
    for (let index = copied; index < end.from; index++) {
      if (isFirstUnit[text.charCodeAt(index)] === 0) continue;
      const length = matchLength(forward, text, index, end.from);
      if (length === 0) continue;
      take(index, index + length);
      index += length - 1;
    }
    if (end.to > end.from) take(end.from, end.to);
    return result + text.slice(copied);
  };

  const mapValue = (value: unknown, replace: (controlText: string) => string, depth: number): unknown => {
    if (typeof value === "string") return mapText(value, replace);
    if (typeof value !== "object" || value === null) return value;
    if (depth === maxDepth) {
      throw new InkstoneError(
        "invalid_request",
        `a value for the chat template is nested more than ${maxDepth} levels deep, which this server does not take`,
        { param: "messages" },
      );
    }
    if (Array.isArray(value)) return value.map((item) => mapValue(item, replace, depth + 1));
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [mapText(key, replace), mapValue(item, replace, depth + 1)]),
    );
  };
  return { map: <T>(value: T, replace: (controlText: string) => string) => mapValue(value, replace, 0) as T };
}

interface Range {
  readonly from: number;
  readonly to: number;
}

/** Halves of control texts (two characters and more, whitespace around them aside) at both ends of a text. */
function findCutEnds(
  text: string,
  forward: Node,
  backward: Node,
  maxLength: number,
): { start: Range; end: Range } {
  const first = text.length - text.trimStart().length;
  const last = text.trimEnd().length;
  let start: Range = { from: first, to: first };
  for (let to = first + 2; to <= Math.min(first + maxLength - 1, last); to++) {
    if (reaches(backward, reverse(text.slice(first, to)))) start = { from: first, to };
  }
  let end: Range = { from: last, to: last };
  for (let from = last - 2; from >= Math.max(last - maxLength + 1, start.to); from--) {
    if (reaches(forward, text.slice(from, last))) end = { from, to: last };
  }
  return { start, end };
}

function buildTrie(texts: readonly string[]): Node {
  const root: Node = { next: new Map(), isEnd: false };
  for (const text of texts) {
    let node = root;
    for (let index = 0; index < text.length; index++) {
      const unit = text.charCodeAt(index);
      let child = node.next.get(unit);
      if (child === undefined) {
        child = { next: new Map(), isEnd: false };
        node.next.set(unit, child);
      }
      node = child;
    }
    node.isEnd = true;
  }
  return root;
}

/** Length of the longest control text that begins at `index` and ends by `limit`; 0: none. */
function matchLength(root: Node, text: string, index: number, limit: number): number {
  let longest = 0;
  let node: Node | undefined = root;
  for (let at = index; at < limit; at++) {
    node = node.next.get(text.charCodeAt(at));
    if (node === undefined) break;
    if (node.isEnd) longest = at + 1 - index;
  }
  return longest;
}

/** Is the text a proper beginning of one in the trie? */
function reaches(root: Node, text: string): boolean {
  let node: Node | undefined = root;
  for (let index = 0; index < text.length; index++) {
    node = node.next.get(text.charCodeAt(index));
    if (node === undefined) return false;
  }
  return node.next.size > 0;
}

function reverse(text: string): string {
  return text.split("").toReversed().join("");
}
