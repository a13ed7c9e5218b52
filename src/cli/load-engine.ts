/** From the settings to a model that answers: resolve, check the file, start the engine. */
import type { Config } from "../config/schema.ts";
import type { EngineClient } from "../engine/client.ts";
import type { ResolvedModel } from "../models/types.ts";
import type { Logger } from "../observe/logger.ts";
import type { CliContext } from "./context.ts";
import { toEngineConfig } from "./engine-config.ts";
import { openModels, resolveModel } from "./models.ts";
import type { ResolveModelOptions } from "./models.ts";

/** A model whose engine is ready. */
export interface LoadedModel {
  readonly model: ResolvedModel;
  readonly client: EngineClient;
}

/**
 * Finds the model (fetching it where needed), checks its header, and starts its engine. Rejects with an error of the table;
 * no process is left behind then, nor when `signal` aborts.
 */
export async function loadEngine(
  context: CliContext,
  config: Config,
  logger: Logger,
  { signal, onProgressLine }: Pick<ResolveModelOptions, "signal" | "onProgressLine">,
): Promise<LoadedModel> {
  const models = await openModels(context, config, logger);
  const model = await resolveModel(context, models, config, { signal, onProgressLine });
  models.use(model);
  const { readGgufModel } = await import("../gguf/split.ts");
  const { header } = readGgufModel(model.paths);
  const { ensureNative } = await import("../native/install.ts");
  const { directory } = await ensureNative({
    flag: config.nativeDirectory,
    cacheDir: config.cacheDir,
    variant: "auto",
    offline: config.offline,
    signal,
    onProgress: (line) => logger.info({}, line),
  });
  const { startEngineHost } = await import("../engine/host/engine-host.ts");
  const starting = startEngineHost(toEngineConfig(config, model, header.contextLength, directory), {
    maxQueue: config.maxQueue,
    stepTimeoutMs: config.stepTimeoutMs,
    logger,
  });
  return { model, client: await untilAborted(starting, signal) };
}

/** The engine, unless the signal aborts first: then it is closed as soon as it is there. */
async function untilAborted<T extends EngineClient>(starting: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    starting.then(
      (client) => {
        signal.removeEventListener("abort", onAbort);
        if (signal.aborted) void client.close(0);
        resolve(client);
      },
      (error: Error) => {
        signal.removeEventListener("abort", onAbort);
        reject(error);
      },
    );
    if (signal.aborted) onAbort();
  });
}
