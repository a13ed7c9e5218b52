/** Loads a model and makes the executor that runs it. */
import { InkstoneError } from "../../errors.ts";
import { createContext } from "../../native/context.ts";
import { isGpu, listDevices } from "../../native/devices.ts";
import { disposeOnError } from "../../native/handle.ts";
import type { Native } from "../../native/library.ts";
import { describeProcessor, loadModel } from "../../native/model.ts";
import type { LlamaModel, ModelFacts } from "../../native/model.ts";
import type { EngineConfig, EngineInfo, KvLayout } from "../types.ts";
import {
  chooseContextWindow,
  chooseFlashAttn,
  chooseKvLayout,
  kvBytesPerToken,
  shapeCache,
} from "./llama-decisions.ts";
import { mostRunning } from "./executor.ts";
import { LlamaExecutor } from "./llama-executor.ts";
import { defaultThreads } from "./llama-threads.ts";

const defaultBatchTokens = 512;

/** A running model. */
export interface LlamaEngine {
  readonly executor: LlamaExecutor;
  readonly info: EngineInfo;
  /**
   * Can a part of a sequence be shared with another one, or removed? Not where the model keeps a recurrent state or a sliding
   * window: its requests must run without a prefix cache.
   */
  readonly supportsPrefixSharing: boolean;
}

/**
 * Loads the model and decides what the configuration leaves open. Disposing the executor frees all of it but the library.
 * Throws `model_load_failed`, `out_of_memory` or `invalid_config`; nothing stays loaded then.
 */
export function createLlamaExecutor(config: EngineConfig, native: Native): LlamaEngine {
  const startedAtMs = performance.now();
  const model = loadModel(native, {
    paths: config.modelPaths,
    gpuLayers: config.gpuLayers,
    splitMode: config.splitMode,
    tensorSplit: config.tensorSplit,
    mainGpu: config.mainGpu,
    devices: config.devices,
    mmap: config.mmap,
    mlock: config.mlock,
  });
  return disposeOnError(model.handle, () => {
    const { facts } = model;
    requireGenerating(facts);
    const decided = decide(config, model);
    const { kvLayout, shape, flashAttn, kvBytes } = decided;
    const threads = config.threads ?? defaultThreads();
    const context = createContext(model, {
      cells: shape.cells,
      batchTokens: Math.min(decided.batchTokens, shape.cells),
      batchOutputs: shape.batchOutputs,
      sequences: shape.nSeqMax,
      unified: kvLayout === "unified",
      flashAttn,
      typeK: config.cacheTypeK,
      typeV: config.cacheTypeV,
      threads,
      threadsBatch: config.threadsBatch ?? threads,
      kvBytes,
    });
    const executor = new LlamaExecutor({
      model,
      context,
      kvLayout,
      sequenceTokens: shape.sequenceTokens,
      sequenceIds: shape.sequenceIds,
    });
    const { limits } = executor;
    return {
      executor,
      supportsPrefixSharing: !facts.isRecurrent && !facts.isHybrid && facts.nSwa === 0,
      info: {
        architecture: facts.architecture,
        description: facts.description,
        nParams: facts.nParams,
        sizeBytes: facts.sizeBytes,
        nVocab: facts.nVocab,
        nCtxTrain: facts.nCtxTrain,
        contextWindow: shape.sequenceTokens,
        kvLayout,
        kvTotalTokens: limits.kvTotalTokens,
        kvBytes,
        maxNumSeqs: mostRunning(limits, config.maxNumSeqs),
        maxNumBatchedTokens: limits.batchTokens,
        flashAttn: context.flashAttn,
        threads,
        processor: describeProcessor(facts.buffers),
        libraryVersion: native.version,
        loadMs: Math.round(performance.now() - startedAtMs),
      },
    };
  });
}

function requireGenerating(facts: ModelFacts): void {
  const refuse = (reason: string): InkstoneError =>
    new InkstoneError("model_load_failed", `${facts.description} ${reason}.`);
  if (!facts.hasDecoder) throw refuse("has no decoder, so that it cannot generate text");
  if (facts.hasEncoder) throw refuse("needs an encoder beside its decoder, which is not supported");
  if (facts.isDiffusion) throw refuse("generates by diffusion, which is not supported");
}

interface Decided {
  readonly kvLayout: KvLayout;
  readonly shape: ReturnType<typeof shapeCache>;
  readonly flashAttn: EngineConfig["flashAttn"];
  readonly kvBytes: number;
  readonly batchTokens: number;
}

function decide(config: EngineConfig, model: LlamaModel): Decided {
  const { facts, native } = model;
  const onGpu = describeProcessor(facts.buffers) !== "CPU";
  const recurrent = facts.isRecurrent || facts.isHybrid;
  const bytesPerToken = kvBytesPerToken(facts, config.cacheTypeK, config.cacheTypeV);
  const layoutFacts = {
    kvBytesPerToken: bytesPerToken,
    maxNumSeqs: config.maxNumSeqs,
    contextWindow: chooseContextWindow(config.contextWindow, facts.nCtxTrain, config.kvCacheTokens),
    kvCacheTokens: config.kvCacheTokens,
    nVocab: facts.nVocab,
    availableMemoryBytes: availableMemory(native, facts, onGpu, config.mmap),
    onGpu,
    recurrent,
  };
  const kvLayout = chooseKvLayout(config.kvLayout, layoutFacts);
  const shape = shapeCache(kvLayout, layoutFacts);
  const kvBytes = shape.cells * bytesPerToken;
  // The library clears the cache, so that a system which promises more memory than it has would end the process.
  if (!onGpu && kvBytes > layoutFacts.availableMemoryBytes) {
    throw new InkstoneError(
      "out_of_memory",
      `A KV cache of ${shape.cells} tokens takes ${kvBytes} bytes; ${layoutFacts.availableMemoryBytes} are available.`,
    );
  }
  return {
    kvLayout,
    shape,
    kvBytes,
    batchTokens: config.maxNumBatchedTokens ?? defaultBatchTokens,
    flashAttn: chooseFlashAttn(config.flashAttn, config.cacheTypeV),
  };
}

/** Bytes at hand for the KV cache: the GPUs' free memory, or the machine's without what mapped weights will take. */
function availableMemory(native: Native, facts: ModelFacts, onGpu: boolean, mmap: boolean): number {
  if (onGpu) {
    return listDevices(native)
      .filter((device) => isGpu(device) && facts.buffers.some(({ name }) => name.startsWith(device.name)))
      .reduce((total, device) => total + device.freeBytes, 0);
  }
  return Math.max(0, process.availableMemory() - (mmap ? facts.sizeBytes : 0));
}
