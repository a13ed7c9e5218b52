/** Tokens to text, as they come. */
import type { TokenId, VocabularyData } from "../engine/types.ts";
import { vocabularyText } from "./vocabulary-text.ts";

export interface DetokenizerOptions {
  /** Show control tokens too (vLLM's `skip_special_tokens: false`). Default false. */
  readonly includeControl?: boolean;
  /** Control tokens that are shown nevertheless, such as a model's reasoning tags. */
  readonly visibleTokens?: ReadonlySet<TokenId>;
  /**
   * The tokens are a text from its first token on, so that the space that a SentencePiece tokeniser put before it is
   * removed. Default false: they go on from a prompt, where that space is part of the text.
   */
  readonly startOfText?: boolean;
}

/** Turns tokens into text without ever giving half a character. */
export interface Detokenizer {
  /**
   * The text that these tokens complete. Bytes of an unfinished character are held back; bytes that can be no
   * character become U+FFFD. Throws `invalid_request` for an id outside the vocabulary.
   */
  push(tokens: readonly TokenId[]): string;
  /** The rest at the end: U+FFFD for an unfinished character, else nothing. Leaves the detokenizer empty. */
  flush(): string;
}

/** A detokenizer for one stream of tokens. */
export function createDetokenizer(vocabulary: VocabularyData, options: DetokenizerOptions = {}): Detokenizer {
  const { includeControl = false, visibleTokens, startOfText = false } = options;
  const view = vocabularyText(vocabulary);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  // While the decoder holds bytes, every token must go through it; else complete pieces take the cached text.
  let decoderHoldsBytes = false;
  let stripSpace = startOfText && view.addsSpacePrefix;

  const isShown = (token: TokenId): boolean =>
    !view.isHidden(token) || includeControl || visibleTokens?.has(token) === true;

  const pushToken = (token: TokenId): string => {
    if (!isShown(token)) return "";
    const text = view.text(token);
    if (text !== null && !decoderHoldsBytes) return text;
    const decoded = decoder.decode(view.bytes(token), { stream: true });
    // A complete piece ends whatever the decoder held, valid or not.
    if (text === null) decoderHoldsBytes = true;
    else if (text !== "") decoderHoldsBytes = false;
    return decoded;
  };

  return {
    push(tokens) {
      let text = "";
      for (const token of tokens) {
        let piece = pushToken(token);
        if (stripSpace && piece !== "") {
          if (piece.startsWith(" ")) piece = piece.slice(1);
          stripSpace = false;
        }
        text += piece;
      }
      return text;
    },
    flush() {
      decoderHoldsBytes = false;
      return decoder.decode();
    },
  };
}

/** Text of a whole sequence of tokens, as `/detokenize` gives it. */
export function detokenize(
  vocabulary: VocabularyData,
  tokens: readonly TokenId[],
  options: DetokenizerOptions = {},
): string {
  const detokenizer = createDetokenizer(vocabulary, { startOfText: true, ...options });
  return detokenizer.push(tokens) + detokenizer.flush();
}
