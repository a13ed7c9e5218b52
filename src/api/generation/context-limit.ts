/** Does the input fit the context window? */
import type { VocabularyData } from "../../engine/types.ts";
import { InkstoneError } from "../../errors.ts";

/** What the input is called in the message, and the parameter that holds it. */
export interface InputName {
  readonly noun: "messages" | "prompt";
  readonly param: string;
}

/** Normalising may shorten a text a little before it is cut into pieces, so that the bound must not be too sharp. */
const smallestLongestPieceBytes = 64;
const longestPieces = new WeakMap<VocabularyData, number>();

/** Least number of tokens that texts of so many bytes can have: none is longer than the longest piece. */
export function leastTokens(sizeBytes: number, vocabulary: VocabularyData): number {
  let longest = longestPieces.get(vocabulary);
  if (longest === undefined) {
    longest = smallestLongestPieceBytes;
    const { offsets, nTokens } = vocabulary;
    for (let token = 0; token < nTokens; token++) {
      longest = Math.max(longest, (offsets[token + 1] ?? 0) - (offsets[token] ?? 0));
    }
    longestPieces.set(vocabulary, longest);
  }
  return Math.ceil(sizeBytes / longest);
}

/** Throws `context_length_exceeded` for texts that cannot fit, without tokenising them. */
export function checkTextSize(
  texts: Iterable<string>,
  vocabulary: VocabularyData,
  contextWindow: number,
  input: InputName,
): void {
  let sizeBytes = 0;
  for (const text of texts) sizeBytes += Buffer.byteLength(text);
  const atLeast = leastTokens(sizeBytes, vocabulary);
  if (atLeast >= contextWindow) throw contextLengthExceeded(contextWindow, `at least ${atLeast}`, input);
}

/**
 * Throws `context_length_exceeded` when the prompt leaves no room for a token (or, with `mayFill`, does not fit). With `isLeast`
 * the number is a lower bound, and the message says so.
 */
export function checkPromptLength(
  nTokens: number,
  contextWindow: number,
  input: InputName,
  { mayFill = false, isLeast = false }: { readonly mayFill?: boolean; readonly isLeast?: boolean } = {},
): void {
  if (nTokens < contextWindow || (mayFill && nTokens === contextWindow)) return;
  throw contextLengthExceeded(contextWindow, isLeast ? `at least ${nTokens}` : String(nTokens), input);
}

/** OpenAI's words, which clients look for. */
function contextLengthExceeded(contextWindow: number, nTokens: string, input: InputName): InkstoneError {
  return new InkstoneError(
    "context_length_exceeded",
    `This model's maximum context length is ${contextWindow} tokens. However, your ${input.noun} resulted in ${nTokens} tokens. Please reduce the length of the ${input.noun}; at least one token is left for the answer.`,
    { param: input.param },
  );
}
