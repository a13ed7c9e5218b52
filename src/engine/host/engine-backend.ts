/** What the engine's process runs, by the configuration's executor. */
import type { Executor } from "../executor/executor.ts";
import type { EngineConfig, EngineInfo } from "../types.ts";
import { checkRequiredFile, withStepFaults } from "./faults.ts";
import type { ScriptedFaults } from "./messages.ts";

export interface EngineBackend {
  readonly executor: Executor;
  readonly info: EngineInfo;
  /** Can parts of a sequence be shared? Where not, the engine runs without a prefix cache. */
  readonly supportsPrefixSharing: boolean;
}

/** Loads the model. Throws what the loader throws. The library is loaded only when it is needed. */
export async function createEngineBackend(
  config: EngineConfig,
  scripted: ScriptedFaults,
): Promise<EngineBackend> {
  if (config.executor === "scripted") return createScriptedBackend(config, scripted);
  const { loadNative } = await import("../../native/library.ts");
  const { locateNative } = await import("../../native/packages.ts");
  const { createLlamaExecutor } = await import("../executor/llama.ts");
  const native = loadNative({
    directory: locateNative(config.nativeDirectory).directory,
    onLog: (line) => process.stderr.write(`${line.level}: ${line.text}\n`),
  });
  return createLlamaExecutor(config, native);
}

/** Room and limits of a small engine, so that tests reach them. */
async function createScriptedBackend(config: EngineConfig, scripted: ScriptedFaults): Promise<EngineBackend> {
  const { createScriptedExecutor } = await import("../executor/scripted.ts");
  const { scriptedEos, scriptedVocabulary } = await import("./scripted-tokenizer.ts");
  checkRequiredFile(scripted);
  const contextWindow = config.contextWindow ?? 2_048;
  const kvTotalTokens = config.kvCacheTokens ?? contextWindow * 4;
  const maxNumBatchedTokens = config.maxNumBatchedTokens ?? 512;
  const kvLayout = config.kvLayout === "streams" ? "streams" : "unified";
  const executor = createScriptedExecutor({
    kvLayout,
    kvTotalTokens,
    sequenceTokens: contextWindow,
    sequenceIds: kvLayout === "streams" ? config.maxNumSeqs : 256,
    batchTokens: maxNumBatchedTokens,
    batchOutputs: maxNumBatchedTokens,
    endOfGeneration: scriptedEos,
  });
  return {
    executor: withStepFaults(executor, scripted),
    supportsPrefixSharing: true,
    info: {
      architecture: "scripted",
      description: "scripted",
      nParams: 0,
      sizeBytes: 0,
      nVocab: scriptedVocabulary().nTokens,
      nCtxTrain: contextWindow,
      contextWindow,
      kvLayout,
      kvTotalTokens,
      kvBytes: 0,
      maxNumSeqs: config.maxNumSeqs,
      maxNumBatchedTokens,
      flashAttn: false,
      threads: 1,
      processor: "CPU",
      libraryVersion: "",
      loadMs: 0,
    },
  };
}
