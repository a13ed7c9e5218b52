/** One chat template for each vocabulary, compiled once. */
import { createChatTemplate } from "../chat/template.ts";
import type { ChatTemplate } from "../chat/template.ts";
import type { VocabularyData } from "../engine/types.ts";

const templates = new WeakMap<VocabularyData, ChatTemplate>();

/** The chat template of a model; the same object for the same vocabulary. */
export function chatTemplateOf(vocabulary: VocabularyData): ChatTemplate {
  let template = templates.get(vocabulary);
  if (template === undefined) {
    template = createChatTemplate(vocabulary);
    templates.set(vocabulary, template);
  }
  return template;
}
