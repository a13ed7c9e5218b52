/** Log-probabilities in the forms of OpenAI's two endpoints and of vLLM. */
import { createDetokenizer } from "../../chat/detokenizer.ts";
import type { Detokenizer } from "../../chat/detokenizer.ts";
import { toTokenText } from "../../chat/logprob-text.ts";
import type { TokenText } from "../../chat/logprob-text.ts";
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

/** A prompt that the answer begins with. */
export interface EchoedPrompt {
  readonly tokens: readonly TokenId[];
  readonly text: string;
  /** The text is the client's own, in which control tokens are written out; else they are not in it. */
  readonly showsControl: boolean;
}

/** Builds the lists of one choice; `take` gives what was added since the last call. */
export interface CompletionLogprobsBuilder {
  /** The whole prompt, with the log-probabilities of all its tokens but the first. The choice's text begins with `prompt.text`. */
  addPrompt(prompt: EchoedPrompt, outputs: readonly TokenOutput[]): void;
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
  let lists = empty();
  let offset = 0;
  // A token that ends within a character adds nothing yet: offsets are those of the text, not of the tokens.
  let detokenizer = createDetokenizer(vocabulary);

  const addToken = (token: TokenId, logprob: number | null, top: Record<string, number> | null): void => {
    const { token: text } = toTokenText(vocabulary, token);
    lists.tokens.push(text);
    lists.token_logprobs.push(logprob);
    lists.top_logprobs.push(top);
    lists.text_offset.push(offset);
    offset += countCodePoints(detokenizer.push([token]));
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
    addPrompt(prompt, outputs) {
      const [first] = prompt.tokens;
      detokenizer = promptDetokenizer(vocabulary, prompt);
      if (first !== undefined) {
        addToken(first, null, null);
        // BOS that the tokeniser put before the text is not in it.
        if (
          !prompt.text.startsWith(toTokenText(vocabulary, first).token) &&
          offset > 0 &&
          isBos(vocabulary, first)
        )
          offset = 0;
      }
      for (const output of outputs) add(output);
      offset = countCodePoints(prompt.text);
      detokenizer = createDetokenizer(vocabulary);
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

function promptDetokenizer(vocabulary: VocabularyData, { showsControl }: EchoedPrompt): Detokenizer {
  return createDetokenizer(vocabulary, { startOfText: true, includeControl: showsControl });
}

function isBos(vocabulary: VocabularyData, token: TokenId): boolean {
  return token === vocabulary.bos;
}

/** Length in characters as clients in Python count them. */
function countCodePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
