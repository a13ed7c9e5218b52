/** Loading a model, and what it says of itself. */
import { InkstoneError } from "../errors.ts";
import { loadModes, splitModes } from "./abi.ts";
import type { ModelParams, Pointer } from "./abi.ts";
import { isGpu, listDevices, selectDevices } from "./devices.ts";
import { Handle, disposeOnError } from "./handle.ts";
import type { Native } from "./library.ts";
import { failureReason } from "./log.ts";
import type { NativeLogLine } from "./log.ts";
import { NativeMemory } from "./memory.ts";

export interface LoadModelOptions {
  /** One GGUF file (its siblings are found when it is the first part of a split model), or all parts in order. */
  readonly paths: readonly string[];
  /** Only the vocabulary; no backend is needed then. Default: false. */
  readonly vocabOnly?: boolean;
  /** Layers on the GPU; -1: all. Default: -1. */
  readonly gpuLayers?: number;
  /** Default: "layer". */
  readonly splitMode?: keyof typeof splitModes;
  /** Proportions of the model for each GPU; empty: by their free memory. */
  readonly tensorSplit?: readonly number[];
  /** Index of the GPU that is used when `splitMode` is "none". */
  readonly mainGpu?: number;
  /** Names of devices; empty: all; "none": only the CPU. */
  readonly devices?: readonly string[];
  /** Default: true. */
  readonly mmap?: boolean;
  /** Default: false. */
  readonly mlock?: boolean;
}

/** What a loaded model says of itself; sizes of layers are 0 when only the vocabulary was loaded. */
export interface ModelFacts {
  readonly architecture: string;
  /** Such as "llama 135M Q4_1". */
  readonly description: string;
  readonly nParams: number;
  readonly sizeBytes: number;
  readonly nCtxTrain: number;
  readonly nEmbd: number;
  readonly nLayer: number;
  readonly nHead: number;
  readonly nHeadKv: number;
  /** Width of a sliding window; 0: none. */
  readonly nSwa: number;
  readonly nVocab: number;
  /** Keeps one state instead of cells, so that a part of a sequence can be neither removed nor shared. */
  readonly isRecurrent: boolean;
  readonly isHybrid: boolean;
  readonly isDiffusion: boolean;
  readonly hasEncoder: boolean;
  readonly hasDecoder: boolean;
  /** The model's own Jinja template, or null. */
  readonly chatTemplate: string | null;
  /** Scalar GGUF metadata as text. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Bytes of weights on each buffer, such as "CPU_Mapped" or "CUDA0". */
  readonly buffers: readonly { readonly name: string; readonly sizeBytes: number }[];
}

export interface LlamaModel {
  readonly native: Native;
  readonly pointer: Pointer;
  readonly vocabulary: Pointer;
  readonly facts: ModelFacts;
  readonly handle: Handle;
  dispose(): void;
}

/**
 * Loads a model. Throws `model_load_failed` with the library's own reason, or `invalid_config` for a device, a split or a
 * GPU that does not exist here.
 */
export function loadModel(native: Native, options: LoadModelOptions): LlamaModel {
  const { lib } = native;
  const [firstPath] = options.paths;
  if (firstPath === undefined) throw new InkstoneError("model_load_failed", "No model file was named.");
  const owned: NativeMemory[] = [];
  let loaded: { value: Pointer | null; lines: readonly NativeLogLine[] };
  try {
    const params = modelParams(native, options, owned);
    loaded = native.log.capture(() =>
      options.paths.length === 1
        ? lib.llama_model_load_from_file(firstPath, params)
        : lib.llama_model_load_from_splits(options.paths, options.paths.length, params),
    );
  } finally {
    for (const memory of owned) memory.free();
  }
  const pointer = loaded.value;
  if (pointer === null) {
    throw new InkstoneError(
      "model_load_failed",
      `${firstPath} could not be loaded: ${failureReason(loaded.lines)}.`,
    );
  }
  const handle = new Handle(native.handle, () => lib.llama_model_free(pointer));
  return disposeOnError(handle, () => {
    const vocabulary = lib.llama_model_get_vocab(pointer);
    if (vocabulary === null || lib.llama_vocab_type(vocabulary) === 0) {
      throw new InkstoneError("model_load_failed", `${firstPath} has no vocabulary.`);
    }
    return {
      native,
      pointer,
      vocabulary,
      facts: readFacts(native, pointer, vocabulary, loaded.lines, options.vocabOnly ?? false),
      handle,
      dispose: () => handle.dispose(),
    };
  });
}

function modelParams(native: Native, options: LoadModelOptions, owned: NativeMemory[]): ModelParams {
  const params = native.lib.llama_model_default_params();
  const { devices = [], tensorSplit = [], mmap = true, mlock = false } = options;
  params.vocab_only = options.vocabOnly ?? false;
  params.n_gpu_layers = options.gpuLayers ?? -1;
  params.split_mode = splitModes[options.splitMode ?? "layer"];
  params.main_gpu = options.mainGpu ?? 0;
  params.load_mode = mmap
    ? mlock
      ? loadModes.mmapMlock
      : loadModes.mmap
    : mlock
      ? loadModes.mlock
      : loadModes.none;

  const all = params.vocab_only ? [] : listDevices(native);
  const used = devices.length === 0 ? all.filter(isGpu) : selectDevices(all, devices);
  if (params.main_gpu < 0 || (params.main_gpu > 0 && params.main_gpu >= used.length && !params.vocab_only)) {
    throw new InkstoneError(
      "invalid_config",
      `main_gpu is ${params.main_gpu}, but there are ${used.length} GPUs.`,
      {
        param: "main-gpu",
      },
    );
  }
  if (devices.length > 0 && !params.vocab_only) {
    const list = new NativeMemory((used.length + 1) * 8);
    owned.push(list);
    list.uint64(0, used.length).set(used.map((device) => device.pointer));
    params.devices = list.pointer;
  }
  if (tensorSplit.length > 0) {
    const slots = Number(native.lib.llama_max_devices());
    if (tensorSplit.length > slots) {
      throw new InkstoneError(
        "invalid_config",
        `tensor_split has ${tensorSplit.length} parts; the library takes at most ${slots}.`,
        { param: "tensor-split" },
      );
    }
    const split = new NativeMemory(slots * 4);
    owned.push(split);
    split.float32(0, slots).set(tensorSplit);
    params.tensor_split = split.pointer;
  }
  return params;
}

function readFacts(
  native: Native,
  model: Pointer,
  vocabulary: Pointer,
  lines: readonly NativeLogLine[],
  vocabOnly: boolean,
): ModelFacts {
  const { lib } = native;
  // The library aborts when it is asked for the layers of a model of which only the vocabulary was read.
  const ofLayers = (read: (model: Pointer) => number): number => (vocabOnly ? 0 : read(model));
  const metadata = readMetadata(native, model);
  return {
    architecture: metadata["general.architecture"] ?? "unknown",
    description: readText((buffer, size) => lib.llama_model_desc(model, buffer, size)),
    nParams: Number(lib.llama_model_n_params(model)),
    sizeBytes: Number(lib.llama_model_size(model)),
    nCtxTrain: lib.llama_model_n_ctx_train(model),
    nEmbd: lib.llama_model_n_embd(model),
    nLayer: ofLayers(lib.llama_model_n_layer),
    nHead: ofLayers(lib.llama_model_n_head),
    nHeadKv: ofLayers(lib.llama_model_n_head_kv),
    nSwa: lib.llama_model_n_swa(model),
    nVocab: lib.llama_vocab_n_tokens(vocabulary),
    isRecurrent: lib.llama_model_is_recurrent(model),
    isHybrid: lib.llama_model_is_hybrid(model),
    isDiffusion: lib.llama_model_is_diffusion(model),
    hasEncoder: lib.llama_model_has_encoder(model),
    hasDecoder: lib.llama_model_has_decoder(model),
    chatTemplate: lib.llama_model_chat_template(model, null),
    metadata,
    buffers: parseBuffers(lines),
  };
}

function readMetadata(native: Native, model: Pointer): Record<string, string> {
  const { lib } = native;
  const metadata: Record<string, string> = {};
  for (let index = 0; index < lib.llama_model_meta_count(model); index++) {
    const key = readText((buffer, size) => lib.llama_model_meta_key_by_index(model, index, buffer, size));
    metadata[key] = readText((buffer, size) =>
      lib.llama_model_meta_val_str_by_index(model, index, buffer, size),
    );
  }
  return metadata;
}

/** Text from a function that writes into a buffer and answers the length it has, or -1. */
function readText(read: (buffer: Uint8Array, size: number) => number): string {
  let buffer = Buffer.alloc(256);
  let length = read(buffer, buffer.length);
  if (length >= buffer.length) {
    buffer = Buffer.alloc(length + 1);
    length = read(buffer, buffer.length);
  }
  return length <= 0 ? "" : buffer.toString("utf8", 0, length);
}

/** The weights' buffers, from lines such as "load_tensors:   CPU_Mapped model buffer size =    92.33 MiB". */
export function parseBuffers(lines: readonly NativeLogLine[]): { name: string; sizeBytes: number }[] {
  return lines.flatMap(({ text }) => {
    const match = /(\S+) model buffer size = +([\d.]+) MiB/.exec(text);
    return match === null ? [] : [{ name: match[1] ?? "", sizeBytes: Number(match[2]) * 1024 * 1024 }];
  });
}

/**
 * Where the weights are, as `ollama ps` writes it: "CPU", "100% GPU" or "40%/60% CPU/GPU".
 * A GPU's pinned host memory ("CUDA_Host") counts as CPU.
 */
export function describeProcessor(buffers: ModelFacts["buffers"]): string {
  const sum = (list: ModelFacts["buffers"]): number =>
    list.reduce((total, buffer) => total + buffer.sizeBytes, 0);
  const total = sum(buffers);
  const cpu = sum(buffers.filter(({ name }) => /^(CPU|AMX|BLAS)|_Host$/.test(name)));
  if (total === 0 || cpu === total) return "CPU";
  const cpuPercent = Math.round((100 * cpu) / total);
  return cpuPercent === 0 ? "100% GPU" : `${cpuPercent}%/${100 - cpuPercent}% CPU/GPU`;
}
