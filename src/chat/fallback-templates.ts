/** Templates for models whose file has none. */
import type { VocabularyData } from "../engine/types.ts";
import { vocabularyText } from "./vocabulary-text.ts";

/** A template and what its plainness makes necessary. */
export interface FallbackTemplate {
  readonly name: "chatml" | "plain";
  readonly source: string;
  /** The model may not know where its turn ends: text that must end it. */
  readonly stopStrings: readonly string[];
}

const chatml: FallbackTemplate = {
  name: "chatml",
  source:
    "{% for message in messages %}" +
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}" +
    "{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
  stopStrings: [],
};

const plain: FallbackTemplate = {
  name: "plain",
  source:
    "{% for message in messages %}" +
    "{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}" +
    "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + '\\n' }}" +
    "{% else %}{{ 'User: ' + message['content'] + '\\n' }}{% endif %}" +
    "{% endfor %}" +
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}",
  stopStrings: ["\nUser:"],
};

/** ChatML for a vocabulary that has "<|im_start|>", else turns written as "User: …" and "Assistant: …". */
export function fallbackTemplate(vocabulary: VocabularyData): FallbackTemplate {
  return hasToken(vocabulary, "<|im_start|>") ? chatml : plain;
}

/** Is the text one token, of whatever kind? */
function hasToken(vocabulary: VocabularyData, text: string): boolean {
  const view = vocabularyText(vocabulary);
  const sizeBytes = Buffer.byteLength(text);
  for (let token = 0; token < vocabulary.nTokens; token++) {
    if (view.bytes(token).length === sizeBytes && view.text(token) === text) return true;
  }
  return false;
}
