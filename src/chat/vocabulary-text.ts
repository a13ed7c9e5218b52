/** The vocabulary's pieces as text. Decoded lazily, kept with the vocabulary. */
import type { TokenId, VocabularyData } from "../engine/types.ts";
import { InkstoneError } from "../errors.ts";

/** A control token and its text, such as 2 and "<|im_end|>". */
export interface ControlToken {
  readonly token: TokenId;
  readonly text: string;
}

/** Reads a vocabulary's pieces. Every method throws `invalid_request` for an id outside the vocabulary. */
export interface VocabularyText {
  readonly vocabulary: VocabularyData;
  /** Control tokens that have a text. */
  readonly controlTokens: readonly ControlToken[];
  /** Tokenising puts a space before the text (SentencePiece), so that detokenising a whole text removes one. */
  readonly addsSpacePrefix: boolean;
  /** The token's bytes: a view, not a copy. */
  bytes(token: TokenId): Uint8Array;
  /** The token's text, or null where its bytes alone are no valid UTF-8. */
  text(token: TokenId): string | null;
  /** Is the token left out of what clients read? Control tokens and those that end a generation. */
  isHidden(token: TokenId): boolean;
}

const cache = new WeakMap<VocabularyData, VocabularyText>();

/** The text view of a vocabulary; the same object for the same vocabulary. */
export function vocabularyText(vocabulary: VocabularyData): VocabularyText {
  let view = cache.get(vocabulary);
  if (view === undefined) {
    view = createVocabularyText(vocabulary);
    cache.set(vocabulary, view);
  }
  return view;
}

function createVocabularyText(vocabulary: VocabularyData): VocabularyText {
  const { nTokens, pieces, offsets, isControl } = vocabulary;
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const texts: (string | null | undefined)[] = Array.from({ length: nTokens });
  const endOfGeneration = new Set(vocabulary.endOfGeneration);

  const check = (token: TokenId): void => {
    if (Number.isInteger(token) && token >= 0 && token < nTokens) return;
    throw new InkstoneError(
      "invalid_request",
      `token ${token} is not in the vocabulary of ${nTokens} tokens`,
      {
        param: "tokens",
      },
    );
  };
  const bytes = (token: TokenId): Uint8Array => {
    check(token);
    return pieces.subarray(offsets[token], offsets[token + 1]);
  };
  const text = (token: TokenId): string | null => {
    const known = texts[token];
    if (known !== undefined) return known;
    let decoded: string | null;
    try {
      decoded = strict.decode(bytes(token));
    } catch (error) {
      if (error instanceof InkstoneError) throw error;
      decoded = null;
    }
    texts[token] = decoded;
    return decoded;
  };
  const isHidden = (token: TokenId): boolean => {
    check(token);
    return isControl[token] === 1 || endOfGeneration.has(token);
  };

  const controlTokens: ControlToken[] = [];
  for (let token = 0; token < nTokens; token++) {
    if (isControl[token] !== 1) continue;
    const controlText = text(token);
    if (controlText) controlTokens.push({ token, text: controlText });
  }
  return {
    vocabulary,
    controlTokens,
    addsSpacePrefix: readAddsSpacePrefix(vocabulary.metadata),
    bytes,
    text,
    isHidden,
  };
}

function readAddsSpacePrefix(metadata: VocabularyData["metadata"]): boolean {
  const explicit = metadata["tokenizer.ggml.add_space_prefix"];
  if (explicit !== undefined) return explicit === "true" || explicit === "1";
  return metadata["tokenizer.ggml.model"] === "llama";
}
