/** From a completion body to prompts. */
import { detokenize } from "../../../chat/detokenizer.ts";
import type { EngineClient } from "../../../engine/client.ts";
import type { TokenId } from "../../../engine/types.ts";
import { InkstoneError } from "../../../errors.ts";
import { checkPromptLength, checkTextSize } from "../../generation/context-limit.ts";
import type { InputName } from "../../generation/context-limit.ts";
import { mapInGroups, tokenizeGroupSize } from "../../generation/map-in-groups.ts";
import type { CompletionBody } from "./schema.ts";

/** A prompt that fits the context window. */
export interface CompletionPrompt {
  readonly tokens: readonly TokenId[];
  /** What `echo` gives back. */
  readonly text: string;
  /** The text is the client's own, in which control tokens are written out. */
  readonly showsControl: boolean;
}

const input: InputName = { noun: "prompt", param: "prompt" };

/** All prompts of the body. Rejects with `context_length_exceeded`, `invalid_request` or `tokenizer_timeout`. */
export async function toCompletionPrompts(
  body: CompletionBody,
  client: EngineClient,
): Promise<CompletionPrompt[]> {
  const { contextWindow, nVocab } = client.info;
  const mayFill = body.max_tokens === 0;
  return mapInGroups(
    listPrompts(body.prompt),
    tokenizeGroupSize,
    async (prompt): Promise<CompletionPrompt> => {
      if (typeof prompt !== "string") {
        const unknown = prompt.find((token) => token >= nVocab);
        if (unknown !== undefined) {
          throw new InkstoneError(
            "invalid_request",
            `prompt holds the token ${unknown}, but the model's vocabulary has ${nVocab} tokens`,
            { param: "prompt" },
          );
        }
        checkPromptLength(prompt.length, contextWindow, input, { mayFill });
        return {
          tokens: prompt,
          text: body.echo ? detokenize(client.vocabulary, prompt) : "",
          showsControl: false,
        };
      }
      checkTextSize([prompt], client.vocabulary, contextWindow, input);
      const tokens = await client.tokenize(prompt, {
        addSpecial: body.add_special_tokens ?? true,
        parseSpecial: true,
      });
      if (tokens.length === 0) {
        throw new InkstoneError("invalid_request", "the prompt is empty", { param: "prompt" });
      }
      checkPromptLength(tokens.length, contextWindow, input, { mayFill });
      return { tokens, text: prompt, showsControl: true };
    },
  );
}

/** The prompts of a body. */
export function listPrompts(prompt: CompletionBody["prompt"]): readonly (string | readonly TokenId[])[] {
  if (typeof prompt === "string") return [prompt];
  const isTokenIds = typeof prompt[0] === "number";
  return isTokenIds ? [prompt as TokenId[]] : (prompt as string[] | TokenId[][]);
}
