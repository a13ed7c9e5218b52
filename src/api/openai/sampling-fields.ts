/** The request fields that chat and text completions share, and their way into the engine's words. */
import { z } from "zod";
import type { LogitBias, SamplingParams, TokenId } from "../../engine/types.ts";
import { InkstoneError } from "../../errors.ts";
import { boundedList, boundedRecord } from "../bounded-schemas.ts";

const seeds = 0xff_ff_ff_ff;
const maxStops = 64;
const maxBiases = 1024;

/** Could the value be a token of some vocabulary? */
export const isTokenId = (value: unknown): value is TokenId =>
  Number.isInteger(value) && (value as number) >= 0;

/** OpenAI's fields and the extras of llama-server and vLLM, all optional; null is the same as absent. */
export const samplingFields = {
  temperature: z.number().min(0).max(100).nullish().describe("0 is greedy. Default 1."),
  top_p: z.number().gt(0).max(1).nullish().describe("Default 1 (off)."),
  top_k: z.int().min(-1).nullish().describe("Only the k most probable tokens; 0 and -1: off. Default 0."),
  min_p: z
    .number()
    .min(0)
    .max(1)
    .nullish()
    .describe("Least probability relative to the best token. Default 0."),
  typical_p: z.number().gt(0).max(1).nullish().describe("Locally typical sampling. Default 1 (off)."),
  typical: z.number().gt(0).max(1).nullish().describe("Another name of typical_p."),
  presence_penalty: z.number().min(-2).max(2).nullish().describe("Default 0."),
  frequency_penalty: z.number().min(-2).max(2).nullish().describe("Default 0."),
  repeat_penalty: z.number().gt(0).max(10).nullish().describe("Default 1 (off)."),
  repetition_penalty: z.number().gt(0).max(10).nullish().describe("Another name of repeat_penalty."),
  repeat_last_n: z
    .int()
    .min(-1)
    .nullish()
    .describe("How many last tokens the penalties look at; -1: all. Default 64."),
  seed: z.int().nullish().describe("Equal seeds give equal samples; -1: random. Choice i uses seed + i."),
  logit_bias: boundedRecord(z.number().min(-100).max(100), {
    max: maxBiases,
    key: /^(?:0|[1-9]\d{0,9})$/,
    keyMessage: "is a key that is not a token id",
  })
    .nullish()
    .describe("Token id to a value that is added to its logit."),
  grammar: z.string().min(1).nullish().describe("GBNF grammar with the rule `root` that the answer follows."),
  ignore_eos: z.boolean().nullish().describe("Do not end at an end-of-generation token."),
  stop: z
    .union([z.string().min(1), boundedList(z.string().min(1), { max: maxStops })])
    .nullish()
    .describe("Texts that end the answer."),
  stop_token_ids: boundedList(z.int().min(0), { max: maxStops })
    .nullish()
    .describe("Tokens that end the answer."),
  include_stop_str_in_output: z.boolean().nullish().describe("Give out the stop text too. Default false."),
  n: z.int().min(1).max(128).nullish().describe("Number of choices. Default 1."),
  priority: z.int().min(-1000).max(1000).nullish().describe("Lower runs first. Default 0."),
  cache_salt: z
    .string()
    .min(1)
    .max(1024)
    .nullish()
    .describe("Only requests with the same salt share cached prefixes."),
  cache_prompt: z.boolean().nullish().describe("false: neither use nor leave cached prefixes. Default true."),
  prompt_logprobs: z
    .int()
    .min(0)
    .max(20)
    .nullish()
    .describe("Alternatives with each token of the prompt, as in vLLM."),
  stream: z.boolean().nullish().describe("Answer as server-sent events."),
  stream_options: z
    .object({ include_usage: z.boolean().nullish().describe("A last chunk with the usage.") })
    .nullish(),
  user: z.string().nullish().describe("Accepted and not used."),
} as const;

const samplingSchema = z.object(samplingFields);

/** A body with the shared fields. */
export type SamplingBody = z.output<typeof samplingSchema>;

/** The sampling of all choices but for their seeds. Throws `invalid_request` for biases of tokens outside the vocabulary. */
export function toSamplingParams(body: SamplingBody, nVocab: number): Omit<SamplingParams, "seed"> {
  return {
    temperature: body.temperature ?? 1,
    topK: Math.max(0, body.top_k ?? 0),
    topP: body.top_p ?? 1,
    minP: body.min_p ?? 0,
    typicalP: body.typical_p ?? body.typical ?? 1,
    repeatPenalty: body.repeat_penalty ?? body.repetition_penalty ?? 1,
    repeatLastN: body.repeat_last_n ?? 64,
    presencePenalty: body.presence_penalty ?? 0,
    frequencyPenalty: body.frequency_penalty ?? 0,
    logitBias: toLogitBias(body.logit_bias, nVocab),
    grammar: body.grammar ?? null,
  };
}

/** The seed of choice `index`. The engine's seeds have 32 bits, and the largest of them means a random one. */
export function toSeed(seed: number | null | undefined, index: number): number | null {
  if (seed === null || seed === undefined || seed === -1) return null;
  return (((seed + index) % seeds) + seeds) % seeds;
}

function toLogitBias(biases: SamplingBody["logit_bias"], nVocab: number): LogitBias[] {
  return Object.entries(biases ?? {}).map(([key, bias]) => {
    const token = Number(key);
    if (token >= nVocab) {
      throw new InkstoneError(
        "invalid_request",
        `logit_bias.${key} is not a token of the model, whose vocabulary has ${nVocab}`,
        { param: `logit_bias.${key}` },
      );
    }
    return { token, bias };
  });
}

/** Stop texts as a list. */
export function toStops(stop: SamplingBody["stop"]): readonly string[] {
  if (stop === null || stop === undefined) return [];
  return typeof stop === "string" ? [stop] : stop;
}
