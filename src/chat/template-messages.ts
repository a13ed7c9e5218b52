/** OpenAI's messages in the form that chat templates read. */
import { InkstoneError } from "../errors.ts";

/** A part of a message's content, as OpenAI's API has it. */
export interface ContentPart {
  readonly type: string;
  readonly text?: string;
  readonly [field: string]: unknown;
}

/** A message of OpenAI's chat API. Fields that are not named here reach the template as they are. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: string | readonly ContentPart[] | null;
  readonly [field: string]: unknown;
}

/** What one template wants. */
export interface TemplateHabits {
  /** It reads content only as a list of parts. */
  readonly wantsParts: boolean;
  /** It reads a tool call's arguments as JSON text, not as an object. */
  readonly wantsArgumentsAsText: boolean;
  /** It knows the role "developer"; else such messages become "system". */
  readonly knowsDeveloper: boolean;
}

/** A message as the template gets it. */
export interface TemplateMessage {
  readonly role: string;
  readonly content: string | readonly { readonly type: "text"; readonly text: string }[] | null;
  readonly [field: string]: unknown;
}

/**
 * Messages for a template. Text parts are joined with a newline (as llama.cpp and vLLM do). Throws
 * `unsupported_parameter` that names the part for images, sound and other parts that are no text.
 */
export function toTemplateMessages(
  messages: readonly ChatMessage[],
  habits: TemplateHabits,
): TemplateMessage[] {
  return messages.map((message, index) => {
    const { tool_calls: toolCalls, ...rest } = message;
    const hasToolCalls = Array.isArray(toolCalls) && toolCalls.length > 0;
    const texts = readTexts(message, index);
    const result = {
      ...rest,
      role: message.role === "developer" && !habits.knowsDeveloper ? "system" : message.role,
      content: toContent(texts, habits.wantsParts, hasToolCalls),
    };
    if (!hasToolCalls) return result;
    return {
      ...result,
      tool_calls: habits.wantsArgumentsAsText ? toolCalls : toolCalls.map(parseArguments),
    };
  });
}

function toContent(
  texts: readonly string[] | null,
  wantsParts: boolean,
  hasToolCalls: boolean,
): TemplateMessage["content"] {
  // Templates tell a pure tool call by its content being none; everywhere else they concatenate.
  if (texts === null) return hasToolCalls ? null : "";
  if (wantsParts) return texts.map((text) => ({ type: "text", text }));
  return texts.join("\n");
}

/** The texts of a message; null where it has no content. */
function readTexts({ content }: ChatMessage, messageIndex: number): string[] | null {
  if (content === undefined || content === null) return null;
  if (typeof content === "string") return [content];
  return content.map((part, partIndex) => {
    if (part.type === "text" && typeof part.text === "string") return part.text;
    if (part.type === "refusal" && typeof part["refusal"] === "string") return part["refusal"];
    const name = `messages[${messageIndex}].content[${partIndex}]`;
    throw new InkstoneError(
      "unsupported_parameter",
      `${name} has the type ${JSON.stringify(part.type)}; this model is served for text only`,
      { param: name },
    );
  });
}

/** OpenAI sends arguments as JSON text; templates read objects. Text that is no JSON object stays text. */
function parseArguments(toolCall: unknown): unknown {
  if (typeof toolCall !== "object" || toolCall === null || !("function" in toolCall)) return toolCall;
  const called = toolCall.function;
  if (typeof called !== "object" || called === null || !("arguments" in called)) return toolCall;
  if (typeof called.arguments !== "string") return toolCall;
  try {
    const parsed: unknown = JSON.parse(called.arguments);
    if (typeof parsed !== "object" || parsed === null) return toolCall;
    return { ...toolCall, function: { ...called, arguments: parsed } };
  } catch {
    return toolCall;
  }
}
