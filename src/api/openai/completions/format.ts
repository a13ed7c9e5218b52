/** Answers of POST /v1/completions. */
import type { TokenOutput, VocabularyData } from "../../../engine/types.ts";
import { toEvent } from "../../event-stream.ts";
import type { AnswerFormat, ChoiceResult } from "../answer.ts";
import { createCompletionLogprobs, toPromptLogprobs } from "../logprobs.ts";
import type { CompletionLogprobs, CompletionLogprobsBuilder } from "../logprobs.ts";
import type { AnswerHead } from "../request-context.ts";
import type { CompletionPrompt } from "./convert.ts";

export interface CompletionFormatOptions {
  readonly head: AnswerHead;
  readonly vocabulary: VocabularyData;
  readonly prompts: readonly CompletionPrompt[];
  readonly choicesPerPrompt: number;
  readonly hasLogprobs: boolean;
  readonly hasPromptLogprobs: boolean;
  readonly echo: boolean;
  readonly includeUsage: boolean;
}

/** Events are put together from text, because one is written for every token. */
export function createCompletionFormat(options: CompletionFormatOptions): AnswerFormat {
  const { head, vocabulary, prompts, choicesPerPrompt, hasLogprobs, hasPromptLogprobs, echo } = options;
  const nChoices = prompts.length * choicesPerPrompt;
  const common = {
    id: head.id,
    object: "text_completion",
    created: head.createdAtS,
    model: head.model,
    system_fingerprint: head.systemFingerprint,
  };
  const commonText = JSON.stringify(common).slice(0, -1);
  const usageField = options.includeUsage ? ',"usage":null' : "";
  const echoesLogprobs = echo && hasLogprobs;

  const promptOf = (choice: number): CompletionPrompt =>
    prompts[Math.floor(choice / choicesPerPrompt)] ?? { tokens: [], text: "", showsControl: false };
  const builders: (CompletionLogprobsBuilder | null)[] = Array.from({ length: nChoices }, () =>
    hasLogprobs ? createCompletionLogprobs(vocabulary) : null,
  );
  const eventOf = (choice: string, more = ""): string =>
    toEvent(`${commonText},"choices":[${choice}]${usageField}${more}}`);
  const textEvent = (choice: number, text: string, logprobs: CompletionLogprobs | null, more = ""): string =>
    eventOf(
      `{"index":${choice},"text":${JSON.stringify(text)},"logprobs":${JSON.stringify(logprobs)},"finish_reason":null${more}}`,
    );
  const takePrompt = (choice: number, outputs: readonly TokenOutput[]): CompletionLogprobs | null => {
    const builder = builders[choice];
    if (!builder || !echo) return null;
    builder.addPrompt(promptOf(choice), outputs);
    return builder.take();
  };

  const wholeLogprobs = (choice: ChoiceResult, index: number): CompletionLogprobs | null => {
    const builder = builders[index];
    if (!builder) return null;
    if (echo) builder.addPrompt(promptOf(index), choice.promptLogprobs ?? []);
    builder.add(choice.tokens);
    return builder.take();
  };

  return {
    start() {
      if (!echo || echoesLogprobs) return "";
      let text = "";
      for (let index = 0; index < nChoices; index++) text += textEvent(index, promptOf(index).text, null);
      return text;
    },
    promptLogprobs(choice, outputs) {
      const more = hasPromptLogprobs
        ? `,"prompt_logprobs":${JSON.stringify(toPromptLogprobs(vocabulary, outputs))}`
        : "";
      if (!echoesLogprobs) return more === "" ? "" : textEvent(choice, "", null, more);
      return textEvent(choice, promptOf(choice).text, takePrompt(choice, outputs), more);
    },
    delta(choice, delta, tokens) {
      const builder = builders[choice];
      if (delta.content === "" && (!builder || tokens.length === 0)) return "";
      if (!builder) return textEvent(choice, delta.content, null);
      builder.add(tokens);
      return textEvent(choice, delta.content, builder.take());
    },
    finish: (choice, reason, timings) =>
      eventOf(
        `{"index":${choice},"text":"","logprobs":null,"finish_reason":"${reason}"}`,
        timings === null ? "" : `,"timings":${JSON.stringify(timings)}`,
      ),
    usage: (usage, timings) =>
      toEvent(
        `${commonText},"choices":[],"usage":${JSON.stringify(usage)},"timings":${JSON.stringify(timings)}}`,
      ),
    whole: (choices, usage, timings) => ({
      ...common,
      choices: choices.map((choice, index) => ({
        index,
        text: (echo ? promptOf(index).text : "") + choice.content,
        logprobs: wholeLogprobs(choice, index),
        finish_reason: choice.finishReason,
        ...(hasPromptLogprobs && {
          prompt_logprobs: toPromptLogprobs(vocabulary, choice.promptLogprobs ?? []),
        }),
      })),
      usage,
      timings,
    }),
  };
}
