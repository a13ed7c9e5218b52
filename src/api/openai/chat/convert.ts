/** From a chat body to a prompt. */
import type { ReasoningMode } from "../../../chat/reasoning-tags.ts";
import type { ChatTemplate, RenderOptions } from "../../../chat/template.ts";
import type { EngineClient } from "../../../engine/client.ts";
import type { TokenId } from "../../../engine/types.ts";
import { InkstoneError } from "../../../errors.ts";
import { checkPromptLength } from "../../generation/context-limit.ts";
import { mapInGroups, tokenizeGroupSize } from "../../generation/map-in-groups.ts";
import { checkMessages, messagesInput } from "./check-messages.ts";
import type { ChatBody } from "./schema.ts";

/** A prompt that fits the context window. */
export interface ChatPrompt {
  readonly tokens: TokenId[];
  /** null: the output is not separated. */
  readonly reasoning: ReasoningMode | null;
}

/** The fields of a body that make the prompt. */
export type PromptBody = Pick<
  ChatBody,
  | "messages"
  | "add_generation_prompt"
  | "continue_final_message"
  | "chat_template_kwargs"
  | "reasoning_effort"
  | "reasoning_format"
>;

/**
 * Renders and tokenises the messages. Rejects with `context_length_exceeded` (for texts that cannot fit: before they are rendered),
 * `template_failed`, `template_broken`, `tokenizer_timeout` and what `ChatTemplate.render` throws.
 */
export async function toChatPrompt(
  body: PromptBody,
  template: ChatTemplate,
  client: EngineClient,
): Promise<ChatPrompt> {
  const { contextWindow } = client.info;
  checkMessages(body, client.vocabulary, contextWindow);
  const rendered = template.render(toRenderOptions(body));
  const tokens = await tokenizeSegments(client, rendered.segments, rendered.addSpecial);
  checkPromptLength(tokens.length, contextWindow, messagesInput);
  return { tokens, reasoning: body.reasoning_format === "none" ? null : rendered.reasoning };
}

/** What the template is asked. */
export function toRenderOptions(body: PromptBody): RenderOptions {
  const continueFinalMessage = body.continue_final_message ?? false;
  return {
    messages: body.messages,
    addGenerationPrompt: body.add_generation_prompt ?? !continueFinalMessage,
    continueFinalMessage,
    kwargs: {
      ...(body.reasoning_effort ? { reasoning_effort: body.reasoning_effort } : {}),
      ...body.chat_template_kwargs,
    },
  };
}

/** Tokenises the pieces of a prompt and joins them; only the first gets special tokens. */
export async function tokenizeSegments(
  client: EngineClient,
  segments: readonly { readonly text: string; readonly parseSpecial: boolean }[],
  addSpecial: boolean,
): Promise<TokenId[]> {
  const lists = await mapInGroups(segments, tokenizeGroupSize, ({ text, parseSpecial }, index) =>
    client.tokenize(text, { addSpecial: addSpecial && index === 0, parseSpecial }),
  );
  const tokens = lists.length === 1 ? (lists[0] ?? []) : lists.flat();
  if (tokens.length > 0) return tokens;
  throw new InkstoneError("invalid_request", "the messages make an empty prompt", { param: "messages" });
}
