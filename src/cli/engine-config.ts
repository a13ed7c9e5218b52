import type { Config } from "../config/schema.ts";
import type { EngineConfig } from "../engine/types.ts";
import type { ResolvedModel } from "../models/types.ts";

/**
 * The engine's configuration from the settings and a model that is here. `trainedContext` is the model's own context in
 * tokens (null: its file does not say), which `context_window: 0` asks for; `nativeDirectory` holds the library to load.
 */
export function toEngineConfig(
  config: Config,
  model: ResolvedModel,
  trainedContext: number | null,
  nativeDirectory: string,
): EngineConfig {
  return {
    modelKey: model.name,
    modelPaths: model.paths,
    contextWindow: config.contextWindow === 0 ? trainedContext : config.contextWindow,
    maxNumSeqs: config.maxNumSeqs,
    maxNumBatchedTokens: config.maxNumBatchedTokens,
    maxWaitMs: config.maxWaitMs,
    kvCacheTokens: config.kvCacheTokens,
    kvLayout: config.kvLayout,
    cacheTypeK: config.cacheTypeK,
    cacheTypeV: config.cacheTypeV,
    flashAttn: config.flashAttn,
    threads: config.threads,
    threadsBatch: config.threadsBatch,
    gpuLayers: config.gpuLayers,
    splitMode: config.splitMode,
    tensorSplit: config.tensorSplit,
    mainGpu: config.mainGpu,
    devices: config.device,
    mmap: config.mmap,
    mlock: config.mlock,
    prefixCache: config.prefixCache,
    nativeDirectory,
    executor: "llama",
  };
}
