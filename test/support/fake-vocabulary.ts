/** A vocabulary in which a byte is a token, for tests without a model. */
import type { TokenId, VocabularyData } from "../../src/engine/types.ts";

/** Tokens 0 to 255 are bytes; these follow. */
export const controlTokens = {
  "<|im_start|>": 256,
  "<|im_end|>": 257,
  "<|endoftext|>": 258,
} as const;

const chatMl =
  "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/** The vocabulary; `chatTemplate` defaults to ChatML. */
export function createByteVocabulary(chatTemplate: string = chatMl): VocabularyData {
  const pieces: Uint8Array[] = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  pieces.push(...Object.keys(controlTokens).map((text) => Buffer.from(text)));
  const offsets = new Uint32Array(pieces.length + 1);
  for (const [index, piece] of pieces.entries())
    offsets[index + 1] = (offsets[index] ?? 0) + piece.byteLength;
  const isControl = new Uint8Array(pieces.length);
  isControl.fill(1, 256);
  return {
    nTokens: pieces.length,
    pieces: Buffer.concat(pieces),
    offsets,
    isControl,
    endOfGeneration: [controlTokens["<|im_end|>"], controlTokens["<|endoftext|>"]],
    bos: controlTokens["<|endoftext|>"],
    eos: controlTokens["<|im_end|>"],
    addBos: false,
    chatTemplate,
    metadata: {},
  };
}

/** Text to bytes; control texts become their tokens where they are to be parsed. */
export function tokenizeBytes(text: string, parseSpecial: boolean): TokenId[] {
  if (!parseSpecial) return [...Buffer.from(text)];
  const pattern = /(<\|im_start\|>|<\|im_end\|>|<\|endoftext\|>)/;
  return text.split(pattern).flatMap((part) => {
    const control = (controlTokens as Readonly<Record<string, TokenId>>)[part];
    return control === undefined ? [...Buffer.from(part)] : [control];
  });
}

/** Byte tokens to text. */
export function bytesToText(tokens: readonly TokenId[]): string {
  return Buffer.from(tokens.filter((token) => token < 256)).toString();
}
