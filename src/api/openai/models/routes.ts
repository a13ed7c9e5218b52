/** GET /v1/models and GET /v1/models/NAME. */
import type { Hono } from "hono";
import type { AppDeps, AppEnv, ServedModel } from "../../deps.ts";
import { findModel } from "../../generation/find-model.ts";

/** Adds the routes. */
export function addModelRoutes(app: Hono<AppEnv>, { engines }: AppDeps): void {
  app.get("/v1/models", (c) => c.json({ object: "list", data: engines.list().map(toModel) }));
  app.get("/v1/models/:id{.+}", (c) => c.json(toModel(findModel(engines, c.req.param("id")))));
}

/** OpenAI's model object; `max_model_len` is vLLM's, `meta` llama-server's; its last entries are what `inkstone ps` shows. */
function toModel({ name, aliases, client, createdAtS, ownedBy }: ServedModel): object {
  const { info, stats } = client;
  return {
    id: name,
    object: "model",
    created: createdAtS,
    owned_by: ownedBy,
    aliases,
    max_model_len: info.contextWindow,
    meta: {
      n_vocab: info.nVocab,
      n_ctx: info.contextWindow,
      n_ctx_train: info.nCtxTrain,
      n_params: info.nParams,
      size: info.sizeBytes,
      architecture: info.architecture,
      processor: info.processor,
      kv_layout: info.kvLayout,
      kv_used_tokens: stats.kvUsedTokens,
      kv_total_tokens: info.kvTotalTokens,
      running: stats.running,
      waiting: stats.waiting,
      state: client.state,
      restarts: client.restarts,
    },
  };
}
