/** POST /v1/chat/completions. */
import { randomUUID } from "node:crypto";
import type { Hono } from "hono";
import { InkstoneError } from "../../../errors.ts";
import { chatTemplateOf } from "../../chat-templates.ts";
import type { AppDeps, AppEnv } from "../../deps.ts";
import { findModel } from "../../generation/find-model.ts";
import { planChoices } from "../../generation/plan-choices.ts";
import { answer } from "../answer.ts";
import { readCacheNamespace, readCompletionBody, toSystemFingerprint } from "../request-context.ts";
import { toChatPrompt } from "./convert.ts";
import { createChatFormat } from "./format.ts";
import { chatSchema } from "./schema.ts";
import type { ChatBody } from "./schema.ts";

/** Adds the route. */
export function addChatRoutes(app: Hono<AppEnv>, deps: AppDeps): void {
  app.post("/v1/chat/completions", async (c) => {
    const arrivedMs = deps.now();
    const body = await readCompletionBody(c, deps, chatSchema, "chat");
    const topLogprobs = readTopLogprobs(body);
    const model = findModel(deps.engines, body.model);
    const template = chatTemplateOf(model.client.vocabulary);
    const prompt = await toChatPrompt(body, template, model.client);
    const id = `chatcmpl-${randomUUID()}`;
    const choices = await planChoices({
      id,
      model,
      body,
      prompts: [prompt.tokens],
      maxTokens: readMaxTokens(body),
      topLogprobs,
      promptLogprobs: body.prompt_logprobs ?? -1,
      reasoning: prompt.reasoning,
      templateStops: template.stopStrings,
      cacheNamespace: readCacheNamespace(c, deps, body),
    });
    const includeUsage = body.stream_options?.include_usage ?? false;
    const format = createChatFormat({
      head: {
        id,
        createdAtS: Math.floor(arrivedMs / 1000),
        model: model.name,
        systemFingerprint: toSystemFingerprint(deps.settings.version),
      },
      vocabulary: model.client.vocabulary,
      nChoices: choices.length,
      hasLogprobs: topLogprobs >= 0,
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

function readMaxTokens(body: ChatBody): number | null {
  const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? body.n_predict ?? null;
  return maxTokens === -1 ? null : maxTokens;
}

function readTopLogprobs(body: ChatBody): number {
  const wanted = body.top_logprobs ?? 0;
  if (body.logprobs === true) return wanted;
  if (wanted === 0) return -1;
  throw new InkstoneError("invalid_request", `top_logprobs is ${wanted}, but logprobs is not true`, {
    param: "top_logprobs",
  });
}
