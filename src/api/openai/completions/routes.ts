/** POST /v1/completions. */
import { randomUUID } from "node:crypto";
import type { Hono } from "hono";
import { InkstoneError } from "../../../errors.ts";
import type { AppDeps, AppEnv } from "../../deps.ts";
import { findModel } from "../../generation/find-model.ts";
import { planChoices } from "../../generation/plan-choices.ts";
import { answer } from "../answer.ts";
import { readCacheNamespace, readCompletionBody, toSystemFingerprint } from "../request-context.ts";
import { listPrompts, toCompletionPrompts } from "./convert.ts";
import { createCompletionFormat } from "./format.ts";
import { completionSchema } from "./schema.ts";
import type { CompletionBody } from "./schema.ts";

/** As OpenAI's and vLLM's. */
const defaultMaxTokens = 16;
const maxChoices = 2048;

/** Adds the route. */
export function addCompletionRoutes(app: Hono<AppEnv>, deps: AppDeps): void {
  app.post("/v1/completions", async (c) => {
    const arrivedMs = deps.now();
    const given = await readCompletionBody(c, deps, completionSchema, "completions");
    const body = { ...given, max_tokens: given.max_tokens ?? given.n_predict };
    checkCombination(body);
    const model = findModel(deps.engines, body.model);
    const n = body.n ?? 1;
    checkNumberOfChoices(listPrompts(body.prompt).length, n);
    const prompts = await toCompletionPrompts(body, model.client);
    const echo = body.echo ?? false;
    const topLogprobs = body.logprobs ?? -1;
    const id = `cmpl-${randomUUID()}`;
    const choices = await planChoices({
      id,
      model,
      body,
      prompts: prompts.map((prompt) => prompt.tokens),
      maxTokens: body.max_tokens === -1 ? null : (body.max_tokens ?? defaultMaxTokens),
      topLogprobs,
      promptLogprobs: readPromptLogprobs(body),
      reasoning: null,
      templateStops: [],
      cacheNamespace: readCacheNamespace(c, deps, body),
    });
    const includeUsage = body.stream_options?.include_usage ?? false;
    const format = createCompletionFormat({
      head: {
        id,
        createdAtS: Math.floor(arrivedMs / 1000),
        model: model.name,
        systemFingerprint: toSystemFingerprint(deps.settings.version),
      },
      vocabulary: model.client.vocabulary,
      prompts,
      choicesPerPrompt: n,
      hasLogprobs: topLogprobs >= 0,
      hasPromptLogprobs: typeof body.prompt_logprobs === "number",
      echo,
      includeUsage,
    });
    return answer(c, deps, {
      model,
      choices,
      format,
      isStream: body.stream ?? false,
      includeUsage,
      arrivedMs,
    });
  });
}

function checkNumberOfChoices(nPrompts: number, n: number): void {
  if (nPrompts * n <= maxChoices) return;
  throw new InkstoneError(
    "invalid_request",
    `${nPrompts} prompts with n = ${n} make ${nPrompts * n} choices; at most ${maxChoices} are taken`,
    { param: "n" },
  );
}

/** With `max_tokens` 0 the engine has nothing to do but the prompt's log-probabilities, so they are always asked for. */
function readPromptLogprobs(body: CompletionBody): number {
  const ofPrompt = body.prompt_logprobs ?? -1;
  const ofEcho = body.echo ? (body.logprobs ?? (body.max_tokens === 0 ? 0 : -1)) : -1;
  return Math.max(ofPrompt, ofEcho);
}

function checkCombination(body: CompletionBody): void {
  if (typeof body.best_of === "number" && body.best_of !== (body.n ?? 1)) {
    throw new InkstoneError(
      "unsupported_parameter",
      `best_of is ${body.best_of}; only the value of n (${body.n ?? 1}) is supported`,
      { param: "best_of" },
    );
  }
  if (body.max_tokens === 0 && !body.echo && typeof body.prompt_logprobs !== "number") {
    throw new InkstoneError("invalid_request", "max_tokens is 0; without echo it must be at least 1", {
      param: "max_tokens",
    });
  }
}
