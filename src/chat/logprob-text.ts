/** Tokens as OpenAI's log-probability objects show them. */
import type { TokenId, VocabularyData } from "../engine/types.ts";
import { vocabularyText } from "./vocabulary-text.ts";

/** `token` and `bytes` of OpenAI's `logprobs.content[]`. */
export interface TokenText {
  /** The token's text; bytes that are no whole character appear as U+FFFD. */
  readonly token: string;
  /** Its UTF-8 bytes: those of neighbours together give the text. */
  readonly bytes: number[];
}

const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

/** A token's text and bytes; control tokens are shown. Throws `invalid_request` for an id outside the vocabulary. */
export function toTokenText(vocabulary: VocabularyData, token: TokenId): TokenText {
  const view = vocabularyText(vocabulary);
  const bytes = view.bytes(token);
  return { token: view.text(token) ?? lenient.decode(bytes), bytes: [...bytes] };
}
