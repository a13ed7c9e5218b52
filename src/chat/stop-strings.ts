/** Finds stop strings in a stream of text. */

/** What one piece of text brought. */
export interface StopResult {
  /** Text that can be given out now. */
  readonly text: string;
  /** The stop string that was found, or null. */
  readonly matched: string | null;
  /** What followed the stop string in the same piece; empty without a match. */
  readonly rest: string;
}

export interface StopMatcherOptions {
  /** Give out the stop string itself too (vLLM's `include_stop_str_in_output`). Default false. */
  readonly includeStop?: boolean;
}

/**
 * Looks for stop strings across the borders of pieces. The match is the one that is complete first; among those that
 * end at the same place, the longest. How the text was cut into pieces makes no difference.
 */
export interface StopMatcher {
  /** Holds back exactly the longest end of the text that may be the start of a stop string. Nothing follows a match. */
  push(text: string): StopResult;
  /** What was held back when the text has ended. */
  flush(): string;
}

interface Pattern {
  readonly text: string;
  /** For each length of a matched prefix: the length of its longest border (Knuth, Morris and Pratt). */
  readonly borders: Int32Array;
  /** Characters of the pattern that the end of the text matches now. */
  matchedLength: number;
}

const nothing: StopResult = { text: "", matched: null, rest: "" };

/**
 * A matcher for one stream. Empty strings and strings with half a surrogate pair never match and are left out.
 */
export function createStopMatcher(stops: readonly string[], options: StopMatcherOptions = {}): StopMatcher {
  const { includeStop = false } = options;
  const patterns: Pattern[] = stops
    .filter((stop) => stop !== "" && !/\p{Surrogate}/u.test(stop))
    .map((text) => ({ text, borders: findBorders(text), matchedLength: 0 }));
  let held = "";
  let isDone = false;

  return {
    push(text) {
      if (isDone || text === "") return nothing;
      if (patterns.length === 0) return { text, matched: null, rest: "" };
      const heldLength = held.length;
      for (let index = 0; index < text.length; index++) {
        const stop = advanceAll(patterns, text.charCodeAt(index));
        if (stop === null) continue;
        isDone = true;
        const all = held + text;
        held = "";
        const end = heldLength + index + 1;
        return {
          text: all.slice(0, includeStop ? end : end - stop.length),
          matched: stop,
          rest: all.slice(end),
        };
      }
      let keep = 0;
      for (const pattern of patterns) keep = Math.max(keep, pattern.matchedLength);
      const all = held + text;
      held = keep === 0 ? "" : all.slice(-keep);
      return { text: keep === 0 ? all : all.slice(0, -keep), matched: null, rest: "" };
    },
    flush() {
      const rest = held;
      held = "";
      isDone = true;
      return rest;
    },
  };
}

function advanceAll(patterns: readonly Pattern[], codeUnit: number): string | null {
  let longest: string | null = null;
  for (const pattern of patterns) {
    const { text, borders } = pattern;
    let length = pattern.matchedLength;
    while (length > 0 && text.charCodeAt(length) !== codeUnit) length = borders[length - 1] ?? 0;
    if (text.charCodeAt(length) === codeUnit) length++;
    pattern.matchedLength = length;
    if (length === text.length && (longest === null || length > longest.length)) longest = text;
  }
  return longest;
}

function findBorders(text: string): Int32Array {
  const borders = new Int32Array(text.length);
  let length = 0;
  for (let index = 1; index < text.length; index++) {
    while (length > 0 && text[index] !== text[length]) length = borders[length - 1] ?? 0;
    if (text[index] === text[length]) length++;
    borders[index] = length;
  }
  return borders;
}
