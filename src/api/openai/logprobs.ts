/** Log-probabilities in the forms of OpenAI's two endpoints and of vLLM. */
import { toTokenText } from "../../chat/logprob-text.ts";
import type { TokenText } from "../../chat/logprob-text.ts";
import { vocabularyText } from "../../chat/vocabulary-text.ts";
import type { TokenId, TokenOutput, VocabularyData } from "../../engine/types.ts";

/** Stands for minus infinity, which JSON has not; the value that OpenAI and vLLM use. */
const leastLogprob = -9999;

const finite = (logprob: number | undefined): number =>
  logprob === undefined ? leastLogprob : Math.max(logprob, leastLogprob);

/** One entry of `logprobs.content` of a chat answer. */
export interface ChatLogprob extends TokenText {
  readonly logprob: number;
  readonly top_logprobs: readonly (TokenText & { readonly logprob: number })[];
}

/** Tokens for `logprobs.content`. */
export function toChatLogprobs(vocabulary: VocabularyData, outputs: readonly TokenOutput[]): ChatLogprob[] {
  return outputs.map((output) => ({
    ...toTokenText(vocabulary, output.token),
    logprob: finite(output.logprob),
    top_logprobs: (output.top ?? []).map(({ token, logprob }) => ({
      ...toTokenText(vocabulary, token),
      logprob: finite(logprob),
    })),
  }));
}

/** `logprobs` of a text completion. The lists have one entry for each token; null for a text's first token. */
export interface CompletionLogprobs {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  /** Characters (code points) of the choice's text before the token. */
  readonly text_offset: number[];
}

/** Builds the lists of one choice; `take` gives what was added since the last call. */
export interface CompletionLogprobsBuilder {
  /** The whole prompt, with the log-probabilities of all its tokens but the first. */
  addPrompt(promptTokens: readonly TokenId[], outputs: readonly TokenOutput[]): void;
  add(outputs: readonly TokenOutput[]): void;
  take(): CompletionLogprobs;
}

/** A builder for one choice. */
export function createCompletionLogprobs(vocabulary: VocabularyData): CompletionLogprobsBuilder {
  const empty = (): CompletionLogprobs => ({
    tokens: [],
    token_logprobs: [],
    top_logprobs: [],
    text_offset: [],
  });
  const view = vocabularyText(vocabulary);
  let lists = empty();
  let offset = 0;

  const addToken = (token: TokenId, logprob: number | null, top: Record<string, number> | null): void => {
    const { token: text } = toTokenText(vocabulary, token);
    lists.tokens.push(text);
    lists.token_logprobs.push(logprob);
    lists.top_logprobs.push(top);
    lists.text_offset.push(offset);
    if (!view.isHidden(token)) offset += countCodePoints(text);
  };
  const add = (output: TokenOutput): void => {
    const logprob = finite(output.logprob);
    const top: Record<string, number> = {};
    for (const each of output.top ?? [])
      top[toTokenText(vocabulary, each.token).token] ??= finite(each.logprob);
    top[toTokenText(vocabulary, output.token).token] ??= logprob;
    addToken(output.token, logprob, top);
  };

  return {
    addPrompt(promptTokens, outputs) {
      const [first] = promptTokens;
      if (first !== undefined) addToken(first, null, null);
      for (const output of outputs) add(output);
    },
    add(outputs) {
      for (const output of outputs) add(output);
    },
    take() {
      const taken = lists;
      lists = empty();
      return taken;
    },
  };
}

/** vLLM's `prompt_logprobs`: for each token but the first, candidates by token id. */
export type PromptLogprobs = (Record<
  string,
  { logprob: number; rank: number | null; decoded_token: string }
> | null)[];

/** The prompt's log-probabilities in vLLM's form; `rank` is null for a token outside the alternatives. */
export function toPromptLogprobs(
  vocabulary: VocabularyData,
  outputs: readonly TokenOutput[],
): PromptLogprobs {
  const entries = outputs.map((output) => {
    const entry: NonNullable<PromptLogprobs[number]> = {};
    for (const [index, { token, logprob }] of (output.top ?? []).entries()) {
      entry[token] = {
        logprob: finite(logprob),
        rank: index + 1,
        decoded_token: toTokenText(vocabulary, token).token,
      };
    }
    entry[output.token] ??= {
      logprob: finite(output.logprob),
      rank: null,
      decoded_token: toTokenText(vocabulary, output.token).token,
    };
    return entry;
  });
  return [null, ...entries];
}

/** Length in characters as clients in Python count them. */
function countCodePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
