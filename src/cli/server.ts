/** The life of the server: listen, load, serve, drain, stop. */
import { createApp } from "../api/app.ts";
import { chatTemplateOf } from "../api/chat-templates.ts";
import { createDeferred } from "../api/deferred.ts";
import { createEngineRegistry } from "../api/deps.ts";
import type { EngineRegistry } from "../api/deps.ts";
import { serveHttp } from "../api/http-server.ts";
import type { HttpServer } from "../api/http-server.ts";
import { readApiKeyFile } from "../api/keyring.ts";
import type { Config } from "../config/schema.ts";
import { createMetrics } from "../observe/metrics.ts";
import type { Logger } from "../observe/logger.ts";
import { toApiSettings } from "./api-settings.ts";
import { localUrl, renderBanner } from "./banner.ts";
import type { CliContext } from "./context.ts";
import { isLoopbackHost } from "./host-safety.ts";
import { listenForStop } from "./interrupt.ts";
import type { StoppedBySignal } from "./interrupt.ts";
import { loadEngine } from "./load-engine.ts";
import type { LoadedModel } from "./load-engine.ts";
import { createCommandLogger, logsAreText } from "./logging.ts";

/** How long the last bytes of answers may take to reach their clients when the engine has stopped. */
const flushMs = 2_000;

/** What the API reads and the stages change. */
interface ServerState {
  engines: EngineRegistry;
  ready: boolean;
}

/**
 * Serves until a stop signal, then drains and returns. Listens before the model is there, so that a taken port is told at
 * once and health checks are answered while it loads. Rejects with an error of the table, with nothing left running.
 */
export async function runServer(context: CliContext, config: Config, startedAt: number): Promise<void> {
  const logger = createCommandLogger(config, context.stderr);
  const state: ServerState = { engines: createEngineRegistry([]), ready: false };
  const metrics = createMetrics();
  const app = createApp({
    engines: { list: () => state.engines.list(), get: (name) => state.engines.get(name) },
    settings: toApiSettings(config),
    keyring: config.apiKeyFile === null ? null : readApiKeyFile(config.apiKeyFile),
    logger,
    metrics,
    now: () => context.now(),
    isReady: () => state.ready,
  });
  const stop = awaitStop(context);
  let server: HttpServer | null = null;
  try {
    server = await serveHttp(app, {
      host: config.host,
      port: config.port,
      requestTimeoutMs: config.requestTimeoutMs,
      onError: (error) => logger.error({ error }, "the listening socket failed"),
    });
    const url = localUrl(config.host, server.port);
    logger.info({ url }, "listening; the model is loading");
    if (config.apiKeyFile === null && !isLoopbackHost(config.host)) {
      logger.warn(
        { host: config.host },
        "everyone who reaches this address can use the server: no API keys are set",
      );
    }
    const loaded = await loadEngine(context, config, logger, {
      signal: stop.loading,
      onProgressLine: logsAreText(config, context.stderr) ? undefined : (line) => logger.info({}, line),
    }).catch((error: unknown) => {
      throw stop.loading.aborted ? stop.loading.reason : error;
    });
    const { problem, origin } = chatTemplateOf(loaded.client.vocabulary);
    if (problem !== null) logger.warn({ problem }, "chat requests will fail; text completions work");
    else if (origin !== "model")
      logger.info({ template: origin }, "the model has no chat template; a built-in one is used");
    state.engines = registryOf(loaded, config, context.now());
    state.ready = true;
    announce(
      context,
      config,
      { loaded, state, port: server.port, readyMs: context.now() - startedAt },
      logger,
    );
    const { signal } = await stop.requested;
    state.ready = false;
    const { running, waiting } = loaded.client.stats;
    logger.info({ signal, running, waiting, drainSeconds: config.drainSeconds }, "stopping");
    await loaded.client.close(config.drainSeconds * 1000);
    logger.info({}, "stopped");
  } finally {
    state.ready = false;
    stop.dispose();
    await server?.close(flushMs);
  }
}

interface Stop {
  /** Aborts with `StoppedBySignal` at the first stop signal. */
  readonly loading: AbortSignal;
  readonly requested: Promise<StoppedBySignal>;
  dispose(): void;
}

/** The first stop signal asks for an orderly end. */
function awaitStop(context: CliContext): Stop {
  const loading = new AbortController();
  const requested = createDeferred<StoppedBySignal>();
  const dispose = listenForStop(context, (stopped) => {
    loading.abort(stopped);
    requested.resolve(stopped);
  });
  return { loading: loading.signal, requested: requested.promise, dispose };
}

function registryOf({ model, client }: LoadedModel, config: Config, nowMs: number): EngineRegistry {
  const [name = model.name, ...aliases] = config.servedModelName;
  return createEngineRegistry([
    { name, aliases, client, createdAtS: Math.floor(nowMs / 1000), ownedBy: "inkstone" },
  ]);
}

interface Announced {
  readonly loaded: LoadedModel;
  readonly state: ServerState;
  readonly port: number;
  readonly readyMs: number;
}

/** To a person, how to use the server; to a log collector, one line of facts. */
function announce(
  { stderr }: CliContext,
  config: Config,
  { loaded, state, port, readyMs }: Announced,
  logger: Logger,
): void {
  const { info } = loaded.client;
  const modelName = state.engines.list()[0]?.name ?? loaded.model.name;
  if (logsAreText(config, stderr)) {
    const facts = { host: config.host, port, modelName, needsKey: config.apiKeyFile !== null, info, readyMs };
    stderr.write(renderBanner(facts, stderr.palette));
    return;
  }
  const { contextWindow, kvLayout, kvTotalTokens, processor, maxNumSeqs } = info;
  const url = localUrl(config.host, port);
  logger.info(
    { url, model: modelName, contextWindow, kvLayout, kvTotalTokens, processor, maxNumSeqs, readyMs },
    "ready",
  );
}
