/** From a checked request and its prompts to the engine's requests. */
import type { ReasoningMode } from "../../chat/reasoning-tags.ts";
import type { TokenId } from "../../engine/types.ts";
import { InkstoneError } from "../../errors.ts";
import type { ServedModel } from "../deps.ts";
import { toSamplingParams, toSeed, toStops } from "../openai/sampling-fields.ts";
import type { SamplingBody } from "../openai/sampling-fields.ts";
import type { ChoicePlan } from "./generation.ts";

export interface PlanOptions {
  /** Of the answer; the engine's requests are named after it. */
  readonly id: string;
  readonly model: ServedModel;
  readonly body: SamplingBody;
  readonly prompts: readonly (readonly TokenId[])[];
  /** Most tokens of an answer; null: what the context window leaves. Larger values are cut to that. */
  readonly maxTokens: number | null;
  /** As in `EngineRequest`. */
  readonly topLogprobs: number;
  readonly promptLogprobs: number;
  readonly reasoning: ReasoningMode | null;
  /** Stop strings of the template, beside those of the body. */
  readonly templateStops: readonly string[];
  readonly cacheNamespace: string;
}

/**
 * The choices of all prompts: `n` for each, in the order of OpenAI's indices. Compiles a grammar once before. Rejects with
 * `invalid_grammar` or `invalid_request`.
 */
export async function planChoices(options: PlanOptions): Promise<ChoicePlan[]> {
  const { id, model, body, prompts } = options;
  const { client } = model;
  const { nVocab, contextWindow } = client.info;
  const unknown = body.stop_token_ids?.find((token) => token >= nVocab);
  if (unknown !== undefined) {
    throw new InkstoneError(
      "invalid_request",
      `stop_token_ids holds ${unknown}, but the model's vocabulary has ${nVocab} tokens`,
      { param: "stop_token_ids" },
    );
  }
  const sampling = toSamplingParams(body, nVocab);
  if (body.grammar) await client.checkGrammar(body.grammar);

  const output = {
    stops: [...toStops(body.stop), ...options.templateStops],
    includeStop: body.include_stop_str_in_output ?? false,
    reasoning: options.reasoning,
  };
  const stopTokenIds: ReadonlySet<TokenId> = new Set(body.stop_token_ids);
  const n = body.n ?? 1;
  return prompts.flatMap((promptTokens, promptIndex) =>
    Array.from({ length: n }, (_, choice): ChoicePlan => {
      const room = contextWindow - promptTokens.length;
      const maxTokens = Math.min(options.maxTokens ?? room, room);
      // The prompt is computed anew for its log-probabilities, so one choice asks for them; without tokens there is nothing else to ask.
      const shares = choice > 0 && options.promptLogprobs >= 0 && maxTokens > 0;
      return {
        request: {
          id: `${id}:${promptIndex * n + choice}`,
          promptTokens,
          outputTokens: [],
          maxTokens,
          ignoreEos: body.ignore_eos ?? false,
          sampling: { ...sampling, seed: toSeed(body.seed, choice) },
          topLogprobs: options.topLogprobs,
          promptLogprobs: shares ? -1 : options.promptLogprobs,
          cacheNamespace: options.cacheNamespace,
          priority: body.priority ?? 0,
          alone: false,
        },
        output,
        stopTokenIds,
        promptIndex,
        sharesPromptLogprobs: shares,
      };
    }),
  );
}
