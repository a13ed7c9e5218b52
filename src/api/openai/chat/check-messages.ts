/** Are the messages small enough to be rendered? Rendering cannot be interrupted, so this is asked before. */
import type { VocabularyData } from "../../../engine/types.ts";
import { InkstoneError } from "../../../errors.ts";
import { checkPromptLength, checkTextSize } from "../../generation/context-limit.ts";
import type { InputName } from "../../generation/context-limit.ts";
import type { ChatBody } from "./schema.ts";

type Message = ChatBody["messages"][number];

/** What the messages are called in errors. */
export const messagesInput: InputName = { noun: "messages", param: "messages" };

/** Most bytes of everything that is not content: reasoning, tool calls, names, variables of the template. Templates may leave it out. */
const maxOtherBytes = 2 * 1024 * 1024;

/**
 * Throws `context_length_exceeded` for messages that cannot fit (each makes at least one token), and `invalid_request` when their
 * other fields and the template's variables are very large.
 */
export function checkMessages(
  { messages, chat_template_kwargs: kwargs }: Pick<ChatBody, "messages" | "chat_template_kwargs">,
  vocabulary: VocabularyData,
  contextWindow: number,
): void {
  checkPromptLength(messages.length, contextWindow, messagesInput, { isLeast: true });
  checkTextSize(contentTexts(messages), vocabulary, contextWindow, messagesInput);
  let sizeBytes = stringBytes(kwargs);
  for (const { content: _content, ...others } of messages) sizeBytes += stringBytes(others);
  if (sizeBytes <= maxOtherBytes) return;
  throw new InkstoneError(
    "invalid_request",
    `the messages' fields other than content, with chat_template_kwargs, have ${sizeBytes} bytes of text; at most ${maxOtherBytes} are taken`,
    { param: "messages" },
  );
}

function* contentTexts(messages: readonly Message[]): Iterable<string> {
  for (const { content } of messages) {
    if (typeof content === "string") yield content;
    else {
      for (const { text, refusal } of content ?? []) {
        if (text !== undefined) yield text;
        if (typeof refusal === "string") yield refusal;
      }
    }
  }
}

/** Of all keys and strings inside a value; bodies are not nested deeply. */
function stringBytes(value: unknown): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (typeof value !== "object" || value === null) return 0;
  let sizeBytes = 0;
  for (const [key, entry] of Object.entries(value)) {
    sizeBytes += (Array.isArray(value) ? 0 : Buffer.byteLength(key)) + stringBytes(entry);
  }
  return sizeBytes;
}
