/** A chat with an engine that lives as long as the command, through the API but without a socket. */
import { createApp } from "../../api/app.ts";
import { createEngineRegistry } from "../../api/deps.ts";
import type { LoadedConfig } from "../../config/load.ts";
import { createMetrics } from "../../observe/metrics.ts";
import { toApiSettings } from "../api-settings.ts";
import type { CliContext } from "../context.ts";
import { loadEngine } from "../load-engine.ts";
import { createCommandLogger } from "../logging.ts";
import type { ChatSession } from "./session.ts";

/**
 * Loads the configured model and answers from it, one request at a time unless `max_num_seqs` is set. Its log stays silent
 * below errors unless a level was asked for.
 */
export async function openEmbeddedSession(
  context: CliContext,
  { config, origins }: LoadedConfig,
  signal: AbortSignal,
): Promise<ChatSession> {
  const level = origins.logLevel.kind === "default" ? "error" : config.logLevel;
  const logger = createCommandLogger(config, context.stderr, level);
  const maxNumSeqs = origins.maxNumSeqs.kind === "default" ? 1 : config.maxNumSeqs;
  const { model, client } = await loadEngine(context, { ...config, maxNumSeqs }, logger, { signal });
  const app = createApp({
    engines: createEngineRegistry([
      {
        name: model.name,
        aliases: [],
        client,
        createdAtS: Math.floor(context.now() / 1000),
        ownedBy: "inkstone",
      },
    ]),
    settings: toApiSettings(config),
    keyring: null,
    logger,
    metrics: createMetrics(),
    now: () => context.now(),
    isReady: () => true,
  });
  return {
    model: model.name,
    request: async (path, init) => app.request(path, init),
    close: async () => client.close(0),
  };
}
