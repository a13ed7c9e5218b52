/** From messages to prompt text, with the model's own template. */
import type { VocabularyData } from "../engine/types.ts";
import { InkstoneError } from "../errors.ts";
import { createControlTextGuard } from "./control-text.ts";
import { fallbackTemplate } from "./fallback-templates.ts";
import { renderGuarded } from "./guarded-render.ts";
import type { PromptSegment } from "./guarded-render.ts";
import { detectReasoningTags, endsInsideReasoning, leavesReasoningOpen } from "./reasoning-tags.ts";
import type { ReasoningMode, ReasoningTags } from "./reasoning-tags.ts";
import { TemplateRefusal, compileTemplate, reservedNames } from "./template-environment.ts";
import type { CompiledTemplate } from "./template-environment.ts";
import { findTemplateHabits } from "./template-habits.ts";
import { toTemplateMessages } from "./template-messages.ts";
import type { ChatMessage, TemplateHabits, TemplateMessage } from "./template-messages.ts";
import { vocabularyText } from "./vocabulary-text.ts";

export interface RenderOptions {
  readonly messages: readonly ChatMessage[];
  /** Tools as in OpenAI's API. */
  readonly tools?: readonly unknown[] | null;
  /** End with the opening of the assistant's turn. */
  readonly addGenerationPrompt: boolean;
  /** Leave the last message (the assistant's) open, so that the model goes on in it. */
  readonly continueFinalMessage?: boolean;
  /** `chat_template_kwargs`: more variables for the template, such as `enable_thinking`. */
  readonly kwargs?: Readonly<Record<string, unknown>>;
}

/** A prompt to be tokenised piece by piece; the token lists are joined. */
export interface RenderedPrompt {
  readonly segments: readonly PromptSegment[];
  /** Tokenise the first segment with special tokens added: false where the text already begins with BOS. */
  readonly addSpecial: boolean;
  /** How to read the output; null where the model has no reasoning marks. */
  readonly reasoning: ReasoningMode | null;
}

export interface ChatTemplate {
  /** Where the template is from: the model's file, or one of the two built-in ones. */
  readonly origin: "model" | "chatml" | "plain";
  /** Why the model's own template cannot be used (every `render` then fails with it); null: it can. */
  readonly problem: string | null;
  readonly reasoningTags: ReasoningTags | null;
  /** Stop strings that every request needs with this template. */
  readonly stopStrings: readonly string[];
  /**
   * Throws `template_broken` where there is a `problem`, `template_failed` with the template's own words, `unsupported_parameter` for parts that are no text, and
   * `invalid_request` for options that contradict each other or variables that take a reserved name.
   */
  render(options: RenderOptions): RenderedPrompt;
}

export interface ChatTemplateSettings {
  /** The clock of `strftime_now`; default: the system's. */
  readonly now?: () => Date;
}

/** Marks the end of a message that is continued; U+F8FE is in Unicode's private use area. */
const continueMark = "\uF8FEcontinue\uF8FE";

const templateVariables = new Set(["messages", "tools", "add_generation_prompt", "bos_token", "eos_token"]);

/** The chat template of a model. Never throws: a template that cannot be parsed shows as `problem`. */
export function createChatTemplate(
  vocabulary: VocabularyData,
  { now = () => new Date() }: ChatTemplateSettings = {},
): ChatTemplate {
  const fallback = vocabulary.chatTemplate === null ? fallbackTemplate(vocabulary) : null;
  const source = vocabulary.chatTemplate ?? fallback?.source ?? "";
  const toolSource = vocabulary.metadata["tokenizer.chat_template.tool_use"];
  const { controlTokens } = vocabularyText(vocabulary);
  const bosToken = tokenText(vocabulary, vocabulary.bos);
  const eosToken = tokenText(vocabulary, vocabulary.eos);
  const reasoningTags = detectReasoningTags(source);

  const controlTexts = controlTokens.map(({ text }) => text);
  const guard = createControlTextGuard(controlTexts);
  // In the model's own messages its reasoning marks are what they are.
  const ownMarks = new Set([reasoningTags?.open, reasoningTags?.close]);
  const assistantGuard = createControlTextGuard(controlTexts.filter((text) => !ownMarks.has(text)));
  const guardMessage = (message: TemplateMessage, replace: (text: string) => string): TemplateMessage =>
    (message.role === "assistant" ? assistantGuard : guard).map(message, replace);

  const main = prepareTemplate(source, { bosToken, eosToken, now });
  const forTools = toolSource === undefined ? main : prepareTemplate(toolSource, { bosToken, eosToken, now });

  function render(options: RenderOptions): RenderedPrompt {
    checkOptions(options);
    const { tools = null, kwargs = {}, addGenerationPrompt, continueFinalMessage = false } = options;
    const template = tools === null || tools.length === 0 ? main : forTools;
    const plainMessages = toTemplateMessages(options.messages, template.habits());
    const messages = continueFinalMessage ? markLastMessage(plainMessages) : plainMessages;

    const segments = renderGuarded((replace) => {
      const text = template.run({
        ...guard.map(kwargs, replace),
        messages: messages.map((message) => guardMessage(message, replace)),
        tools: tools === null || tools.length === 0 ? null : guard.map(tools, replace),
        add_generation_prompt: addGenerationPrompt,
      });
      return continueFinalMessage ? cutAtMark(text) : text;
    });

    const first = segments[0];
    const beginsWithBos =
      bosToken !== "" && first !== undefined && first.parseSpecial && first.text.startsWith(bosToken);
    const reasoning = readReasoning(segments, plainMessages, continueFinalMessage);
    return { segments, addSpecial: !beginsWithBos, reasoning };
  }

  function readReasoning(
    segments: readonly PromptSegment[],
    messages: readonly TemplateMessage[],
    isContinued: boolean,
  ): ReasoningMode | null {
    if (reasoningTags === null) return null;
    const content = isContinued ? messages.at(-1)?.content : undefined;
    const startsInside =
      typeof content === "string"
        ? leavesReasoningOpen(content, reasoningTags)
        : endsInsideReasoning(segments.at(-1)?.text ?? "", reasoningTags);
    return { tags: reasoningTags, startsInside };
  }

  return {
    origin: fallback?.name ?? "model",
    problem: main.problem,
    reasoningTags,
    stopStrings: fallback?.stopStrings ?? [],
    render,
  };
}

interface PreparedTemplate {
  readonly problem: string | null;
  habits(): TemplateHabits;
  /** Throws `template_failed`, or `template_broken` where `problem` is not null. */
  run(variables: Readonly<Record<string, unknown>>): string;
}

function prepareTemplate(
  source: string,
  { bosToken, eosToken, now }: { bosToken: string; eosToken: string; now: () => Date },
): PreparedTemplate {
  let compiled: CompiledTemplate | null = null;
  let problem: string | null = null;
  try {
    compiled = compileTemplate(source);
  } catch (error) {
    problem = `the model's chat template cannot be read: ${messageOf(error)}`;
  }
  const run = (variables: Readonly<Record<string, unknown>>): string => {
    if (compiled === null) throw new InkstoneError("template_broken", problem ?? "");
    try {
      return compiled.render({ bos_token: bosToken, eos_token: eosToken, ...variables }, now());
    } catch (error) {
      const what = error instanceof TemplateRefusal ? "refuses these messages" : "failed";
      throw new InkstoneError("template_failed", `the model's chat template ${what}: ${messageOf(error)}`, {
        param: "messages",
        cause: error,
      });
    }
  };
  let habits: TemplateHabits | null = null;
  return { problem, run, habits: () => (habits ??= findTemplateHabits(source, run)) };
}

function checkOptions({
  messages,
  addGenerationPrompt,
  continueFinalMessage,
  kwargs = {},
}: RenderOptions): void {
  const taken = Object.keys(kwargs).find((name) => templateVariables.has(name) || reservedNames.has(name));
  if (taken !== undefined) {
    throw new InkstoneError("invalid_request", `chat_template_kwargs must not set ${JSON.stringify(taken)}`, {
      param: `chat_template_kwargs.${taken}`,
    });
  }
  if (continueFinalMessage !== true) return;
  if (addGenerationPrompt) {
    throw new InkstoneError(
      "invalid_request",
      "continue_final_message and add_generation_prompt cannot both be true",
      { param: "continue_final_message" },
    );
  }
  const last = messages.at(-1);
  if (last?.role !== "assistant" || last.content === undefined || last.content === null) {
    throw new InkstoneError(
      "invalid_request",
      "continue_final_message needs a last message of the role assistant with content",
      { param: "continue_final_message" },
    );
  }
}

function markLastMessage(messages: readonly TemplateMessage[]): TemplateMessage[] {
  const last = messages.at(-1);
  if (last === undefined || last.content === null) return [...messages];
  const content =
    typeof last.content === "string"
      ? last.content + continueMark
      : [...last.content, { type: "text" as const, text: continueMark }];
  return [...messages.slice(0, -1), { ...last, content }];
}

function cutAtMark(text: string): string {
  const end = text.lastIndexOf(continueMark);
  if (end !== -1) return text.slice(0, end);
  throw new InkstoneError(
    "template_failed",
    "the model's chat template does not show the last message, so it cannot be continued",
    { param: "continue_final_message" },
  );
}

function tokenText(vocabulary: VocabularyData, token: number): string {
  return token < 0 ? "" : (vocabularyText(vocabulary).text(token) ?? "");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
