/** Answers of POST /v1/chat/completions. */
import type { OutputDelta } from "../../../chat/output-stream.ts";
import type { TokenOutput, VocabularyData } from "../../../engine/types.ts";
import { toEvent } from "../../event-stream.ts";
import type { AnswerFormat, ChoiceResult } from "../answer.ts";
import { toChatLogprobs, toPromptLogprobs } from "../logprobs.ts";
import type { AnswerHead } from "../request-context.ts";

export interface ChatFormatOptions {
  readonly head: AnswerHead;
  readonly vocabulary: VocabularyData;
  readonly nChoices: number;
  readonly hasLogprobs: boolean;
  readonly includeUsage: boolean;
}

/** Events are put together from text, because one is written for every token. */
export function createChatFormat(options: ChatFormatOptions): AnswerFormat {
  const { head, vocabulary, nChoices, hasLogprobs, includeUsage } = options;
  const common = JSON.stringify({
    id: head.id,
    object: "chat.completion.chunk",
    created: head.createdAtS,
    model: head.model,
    system_fingerprint: head.systemFingerprint,
  }).slice(0, -1);
  const usageField = includeUsage ? ',"usage":null' : "";
  const eventOf = (choice: string, more = ""): string =>
    toEvent(`${common},"choices":[${choice}]${usageField}${more}}`);

  const deltaFields = ({ content, reasoning }: OutputDelta): string => {
    const fields: string[] = [];
    if (reasoning !== "") {
      const text = JSON.stringify(reasoning);
      fields.push(`"reasoning_content":${text},"reasoning":${text}`);
    }
    if (content !== "") fields.push(`"content":${JSON.stringify(content)}`);
    return fields.join(",");
  };

  const message = ({ content, reasoning }: ChoiceResult): object => ({
    role: "assistant",
    content,
    refusal: null,
    ...(reasoning === "" ? {} : { reasoning_content: reasoning, reasoning }),
  });

  return {
    start() {
      let text = "";
      for (let index = 0; index < nChoices; index++) {
        text += eventOf(
          `{"index":${index},"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}`,
        );
      }
      return text;
    },
    promptLogprobs: (choice, outputs) =>
      choice === 0
        ? eventOf("", `,"prompt_logprobs":${JSON.stringify(toPromptLogprobs(vocabulary, outputs))}`)
        : "",
    delta(choice, delta, tokens) {
      const fields = deltaFields(delta);
      const logprobs = hasLogprobs && tokens.length > 0 ? chatLogprobs(vocabulary, tokens) : "null";
      if (fields === "" && logprobs === "null") return "";
      return eventOf(`{"index":${choice},"delta":{${fields}},"logprobs":${logprobs},"finish_reason":null}`);
    },
    finish: (choice, reason, timings) =>
      eventOf(
        `{"index":${choice},"delta":{},"logprobs":null,"finish_reason":"${reason}"}`,
        timings === null ? "" : `,"timings":${JSON.stringify(timings)}`,
      ),
    usage: (usage, timings) =>
      toEvent(
        `${common},"choices":[],"usage":${JSON.stringify(usage)},"timings":${JSON.stringify(timings)}}`,
      ),
    whole: (choices, usage, timings) => ({
      id: head.id,
      object: "chat.completion",
      created: head.createdAtS,
      model: head.model,
      system_fingerprint: head.systemFingerprint,
      choices: choices.map((choice, index) => ({
        index,
        message: message(choice),
        logprobs: hasLogprobs ? { content: toChatLogprobs(vocabulary, choice.tokens), refusal: null } : null,
        finish_reason: choice.finishReason,
      })),
      usage,
      timings,
      ...promptLogprobsField(vocabulary, choices[0]?.promptLogprobs ?? null),
    }),
  };
}

function chatLogprobs(vocabulary: VocabularyData, tokens: readonly TokenOutput[]): string {
  return `{"content":${JSON.stringify(toChatLogprobs(vocabulary, tokens))},"refusal":null}`;
}

function promptLogprobsField(vocabulary: VocabularyData, outputs: readonly TokenOutput[] | null): object {
  return outputs === null ? {} : { prompt_logprobs: toPromptLogprobs(vocabulary, outputs) };
}
