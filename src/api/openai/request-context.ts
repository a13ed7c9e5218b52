/** What both completion endpoints find out about a request before they convert it. */
import type { Context } from "hono";
import type { z } from "zod";
import type { AppDeps, AppEnv } from "../deps.ts";
import { toCacheNamespace } from "../generation/cache-namespace.ts";
import { readJsonBody } from "../read-json-body.ts";
import { validate } from "../validation.ts";
import type { SamplingBody } from "./sampling-fields.ts";
import { rejectUnsupportedFields } from "./unsupported-fields.ts";

/** The checked body. Throws `unsupported_parameter`, `invalid_request` and what `readJsonBody` throws. */
export async function readCompletionBody<S extends z.ZodType>(
  c: Context<AppEnv>,
  deps: AppDeps,
  schema: S,
  endpoint: "chat" | "completions",
): Promise<z.output<S>> {
  const body = await readJsonBody(c.req.raw, deps.settings);
  rejectUnsupportedFields(body, endpoint);
  return validate(schema, body);
}

/** The prefix cache that the request uses. */
export function readCacheNamespace(c: Context<AppEnv>, deps: AppDeps, body: SamplingBody): string {
  return toCacheNamespace({
    apiKeyId: deps.settings.shareCacheAcrossKeys ? null : (c.get("apiKey")?.id ?? null),
    cacheSalt: body.cache_salt ?? null,
    cachePrompt: body.cache_prompt ?? true,
  });
}

/** Fields that every object of one answer begins with. */
export interface AnswerHead {
  readonly id: string;
  readonly createdAtS: number;
  readonly model: string;
  readonly systemFingerprint: string;
}

/** The name and version of what answered, as `system_fingerprint`. */
export function toSystemFingerprint(version: string): string {
  return `inkstone-${version}`;
}
