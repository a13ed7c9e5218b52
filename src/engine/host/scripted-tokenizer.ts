/** A tokeniser without a model, for tests of the processes and of the server: a token is a byte. */
import { InkstoneError } from "../../errors.ts";
import type { VocabularyData } from "../types.ts";
import type { TokenizerBackend } from "./tokenizer-backend.ts";

/** The only control token; it ends a generation. */
export const scriptedEos = 256;
const eosText = "<|end|>";
const chatTemplate =
  "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}" +
  "{% if add_generation_prompt %}assistant: {% endif %}";

/** Tokens 0 to 255 are the bytes; 256 is the end, written "<|end|>". */
export function scriptedVocabulary(): VocabularyData {
  const pieces = Uint8Array.from([
    ...Array.from({ length: 256 }, (_, byte) => byte),
    ...Buffer.from(eosText),
  ]);
  const isControl = new Uint8Array(257);
  isControl[scriptedEos] = 1;
  return {
    nTokens: 257,
    pieces,
    offsets: Uint32Array.from([...Array.from({ length: 257 }, (_, token) => token), pieces.length]),
    isControl,
    endOfGeneration: [scriptedEos],
    bos: -1,
    eos: scriptedEos,
    addBos: false,
    chatTemplate,
    metadata: { "general.name": "scripted", "general.architecture": "scripted" },
  };
}

/** Needs no files. A grammar is good when it has a rule `root`. */
export function createScriptedTokenizer(): TokenizerBackend {
  return {
    exportVocabulary: scriptedVocabulary,
    tokenize(text, { parseSpecial }) {
      if (!parseSpecial) return Buffer.from(text);
      const tokens: number[] = [];
      for (const [index, part] of text.split(eosText).entries()) {
        if (index > 0) tokens.push(scriptedEos);
        for (const byte of Buffer.from(part)) tokens.push(byte);
      }
      return tokens;
    },
    checkGrammar(grammar) {
      if (!/^\s*root\s*::=/m.test(grammar)) {
        throw new InkstoneError("invalid_grammar", "the grammar has no rule root");
      }
    },
  };
}
