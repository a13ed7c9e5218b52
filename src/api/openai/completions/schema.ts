/** Body of POST /v1/completions. */
import { z } from "zod";
import { boundedList } from "../../bounded-schemas.ts";
import { isTokenId, samplingFields } from "../sampling-fields.ts";

const tokenIds = boundedList(z.int().min(0), { min: 1, isGood: isTokenId });
const maxPrompts = 2048;

/** Fields that are not named here are ignored, but for those in `unsupported-fields.ts`. */
export const completionSchema = z.object({
  model: z.string().nullish().describe("A name of GET /v1/models; absent: the first of them."),
  prompt: z
    .union([
      z.string(),
      tokenIds,
      boundedList(z.string(), { min: 1, max: maxPrompts }),
      boundedList(tokenIds, { min: 1, max: maxPrompts }),
    ])
    .describe("A text, its tokens, or a list of either; each prompt of a list gets n choices."),
  max_tokens: z
    .int()
    .min(-1)
    .nullish()
    .describe("Most tokens of an answer; -1: the context window's rest; 0 only with echo. Default 16."),
  n_predict: z.int().min(-1).nullish().describe("llama-server's name of max_tokens."),
  ...samplingFields,
  best_of: z.int().min(1).nullish().describe("Only the value of n."),
  echo: z.boolean().nullish().describe("Begin the answer with the prompt."),
  logprobs: z
    .int()
    .min(0)
    .max(20)
    .nullish()
    .describe("Alternatives with each token; with echo also for the prompt's."),
  add_special_tokens: z
    .boolean()
    .nullish()
    .describe("Put BOS before a text where the model wants it. Default true."),
});

/** A checked body. */
export type CompletionBody = z.output<typeof completionSchema>;
