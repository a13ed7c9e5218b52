/** Bodies of POST /tokenize and POST /detokenize: vLLM's fields and llama-server's. */
import { z } from "zod";
import { boundedList } from "../bounded-schemas.ts";
import { chatSchema } from "../openai/chat/schema.ts";
import { isTokenId } from "../openai/sampling-fields.ts";

/** They are decoded in one go. */
const maxTokens = 262_144;

const flag = z.boolean().nullish();

export const tokenizeSchema = z.object({
  model: z.string().nullish(),
  prompt: z.string().nullish().describe("vLLM: the text."),
  messages: chatSchema.shape.messages.nullish().describe("vLLM: messages for the chat template."),
  content: z.string().nullish().describe("llama-server: the text."),
  add_special_tokens: flag.describe("vLLM: put BOS before the text where the model wants it. Default true."),
  add_special: flag.describe("llama-server: the same. Default false."),
  parse_special: flag.describe("Read text such as <|im_start|> as its token. Default true."),
  return_token_strs: flag.describe("vLLM: give the tokens' texts too."),
  with_pieces: flag.describe("llama-server: give objects with the tokens' texts."),
  add_generation_prompt: chatSchema.shape.add_generation_prompt,
  continue_final_message: chatSchema.shape.continue_final_message,
  chat_template_kwargs: chatSchema.shape.chat_template_kwargs,
});

/** A checked body of /tokenize. */
export type TokenizeBody = z.output<typeof tokenizeSchema>;

export const detokenizeSchema = z.object({
  model: z.string().nullish(),
  tokens: boundedList(z.int().min(0), { max: maxTokens, isGood: isTokenId }),
});
