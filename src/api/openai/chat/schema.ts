/** Body of POST /v1/chat/completions. */
import { z } from "zod";
import { boundedList } from "../../bounded-schemas.ts";
import { samplingFields } from "../sampling-fields.ts";

/** Templates are rendered in one go, so that the number of messages bounds how long that takes. */
const maxMessages = 4096;
const maxParts = 1024;

const contentPart = z.looseObject({ type: z.string(), text: z.string().optional() });

const message = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool", "function"]),
  content: z.union([z.string(), boundedList(contentPart, { max: maxParts })]).nullish(),
});

const flag = z.boolean().nullish();
const maxTokens = z
  .int()
  .min(-1)
  .refine((value) => value !== 0, "must be at least 1 (or -1 for no limit)");

/** Fields that are not named here are ignored, but for those in `unsupported-fields.ts`. */
export const chatSchema = z.object({
  model: z.string().nullish().describe("A name of GET /v1/models; absent: the first of them."),
  messages: boundedList(message, { min: 1, max: maxMessages }),
  max_tokens: maxTokens
    .nullish()
    .describe("Most tokens of an answer; absent or -1: the context window's rest."),
  max_completion_tokens: maxTokens.nullish().describe("The newer name of max_tokens; it wins."),
  n_predict: maxTokens.nullish().describe("llama-server's name of max_tokens."),
  ...samplingFields,
  logprobs: flag.describe("Give the log-probabilities of the answer's tokens."),
  top_logprobs: z.int().min(0).max(20).nullish().describe("Alternatives with each token; needs logprobs."),
  add_generation_prompt: flag.describe("Open the assistant's turn. Default true."),
  continue_final_message: flag.describe("Go on in the last message, which must be the assistant's."),
  chat_template_kwargs: z
    .record(z.string(), z.unknown())
    .nullish()
    .describe("Variables for the model's chat template, such as enable_thinking."),
  reasoning_effort: z.string().nullish().describe("Given to the chat template under this name."),
  reasoning_format: z
    .enum(["auto", "deepseek", "none"])
    .nullish()
    .describe("none: leave the reasoning in the content. Default auto."),
});

/** A checked body. */
export type ChatBody = z.output<typeof chatSchema>;
