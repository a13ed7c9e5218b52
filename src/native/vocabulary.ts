/** Text to tokens, and the vocabulary as data. */
import koffi from "koffi";
import { InkstoneError } from "../errors.ts";
import type { LlamaModel } from "./model.ts";

const int32Max = 2 ** 31 - 1;

export interface TokenizeOptions {
  /** Add the tokens that the model wants at the start (BOS). */
  readonly addSpecial: boolean;
  /** Read text such as "<|im_start|>" as its control token. */
  readonly parseSpecial: boolean;
}

/**
 * The vocabulary as data, so that the server turns tokens into text without the library.
 * Token i's bytes are `pieces.subarray(offsets[i], offsets[i + 1])`.
 */
export interface VocabularyData {
  readonly nTokens: number;
  readonly pieces: Uint8Array;
  /** nTokens + 1 entries. */
  readonly offsets: Uint32Array;
  /** 1 where the token is a control token (its text is not shown to clients). */
  readonly isControl: Uint8Array;
  /** Tokens that end a generation. */
  readonly endOfGeneration: readonly number[];
  /** -1 where the model has none. */
  readonly bos: number;
  readonly eos: number;
  readonly addBos: boolean;
  /** The model's own Jinja template, or null. */
  readonly chatTemplate: string | null;
  /** Scalar GGUF metadata as text, such as "general.name". */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Text to tokens. Lone surrogates are read as U+FFFD; a NUL is text like any other character.
 * Synchronous: about a second for a million characters. Throws `invalid_request` for more than 2 GiB of text.
 */
export function tokenize(model: LlamaModel, text: string, options: TokenizeOptions): Int32Array {
  const bytes = Buffer.from(text, "utf8");
  const call = (tokens: Int32Array): number =>
    model.native.lib.llama_tokenize(
      model.vocabulary,
      bytes,
      bytes.length,
      tokens,
      tokens.length,
      options.addSpecial,
      options.parseSpecial,
    );
  // A byte is rarely more than one token, so that the text is read once.
  let tokens = new Int32Array(Math.min(bytes.length + 16, int32Max));
  let count = bytes.length > int32Max ? -(2 ** 31) : call(tokens);
  if (count < 0 && count !== -(2 ** 31)) {
    tokens = new Int32Array(-count);
    count = call(tokens);
  }
  if (count < 0) {
    throw new InkstoneError("invalid_request", `A text of ${bytes.length} bytes is too long to tokenise.`);
  }
  return tokens.slice(0, count);
}

/** The whole vocabulary as plain data. */
export function exportVocabulary(model: LlamaModel): VocabularyData {
  const { lib } = model.native;
  const { facts, vocabulary } = model;
  const pieces = new ByteList();
  const offsets = new Uint32Array(facts.nVocab + 1);
  const isControl = new Uint8Array(facts.nVocab);
  const endOfGeneration: number[] = [];
  let scratch = Buffer.alloc(256);
  for (let token = 0; token < facts.nVocab; token++) {
    let length = lib.llama_token_to_piece(vocabulary, token, scratch, scratch.length, 0, true);
    if (length < 0) {
      scratch = Buffer.alloc(-length);
      length = lib.llama_token_to_piece(vocabulary, token, scratch, scratch.length, 0, true);
    }
    pieces.append(scratch.subarray(0, length));
    offsets[token + 1] = pieces.length;
    isControl[token] = lib.llama_vocab_is_control(vocabulary, token) ? 1 : 0;
    if (lib.llama_vocab_is_eog(vocabulary, token)) endOfGeneration.push(token);
  }
  return {
    nTokens: facts.nVocab,
    pieces: pieces.toBytes(),
    offsets,
    isControl,
    endOfGeneration,
    bos: lib.llama_vocab_bos(vocabulary),
    eos: lib.llama_vocab_eos(vocabulary),
    addBos: lib.llama_vocab_get_add_bos(vocabulary),
    chatTemplate: facts.chatTemplate,
    metadata: facts.metadata,
  };
}

/** Tokens that the model's file bans from being generated. */
export function suppressedTokens(model: LlamaModel): number[] {
  const count = new Int32Array(1);
  const pointer = model.native.lib.llama_vocab_get_suppress_tokens(model.vocabulary, count);
  if (pointer === null || count[0] === undefined || count[0] === 0) return [];
  return Array.from(new Int32Array(koffi.view(pointer, 4 * count[0])));
}

/** Bytes that grow. */
class ByteList {
  #bytes = new Uint8Array(1 << 20);
  length = 0;

  append(piece: Uint8Array): void {
    if (this.length + piece.length > this.#bytes.length) {
      const grown = new Uint8Array(2 * (this.length + piece.length));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes.set(piece, this.length);
    this.length += piece.length;
  }

  toBytes(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }
}
