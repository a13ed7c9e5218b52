/**
 * The C interface of the one libllama version that Inkstone is built for: struct layouts and function signatures, as data.
 * Nothing here loads a library.
 */
import koffi from "koffi";
import type { TypeObject } from "koffi";

/** An address in this process. */
export type Pointer = bigint;

/** Memory that a call may read or write: an address, or the memory of a typed array for the time of the call. */
export type Memory = Pointer | ArrayBufferView | null;

/** `enum llama_flash_attn_type`. */
export const flashAttnTypes = { auto: -1, off: 0, on: 1 } as const;

/** `enum llama_split_mode`. */
export const splitModes = { none: 0, layer: 1, row: 2, tensor: 3 } as const;

/** `enum llama_load_mode`. */
export const loadModes = { none: 0, mmap: 1, mlock: 2, mmapMlock: 3 } as const;

/** `enum ggml_backend_dev_type`. */
export const deviceTypes = ["cpu", "gpu", "igpu", "accelerator", "meta"] as const;

/** `enum ggml_type`, for the types a KV cache can have, with the bytes of one block of `blockSize` values. */
export const kvCacheTypes = {
  f32: { id: 0, blockSize: 1, blockBytes: 4 },
  f16: { id: 1, blockSize: 1, blockBytes: 2 },
  bf16: { id: 30, blockSize: 1, blockBytes: 2 },
  q8_0: { id: 8, blockSize: 32, blockBytes: 34 },
  q5_1: { id: 7, blockSize: 32, blockBytes: 24 },
  q5_0: { id: 6, blockSize: 32, blockBytes: 22 },
  q4_1: { id: 3, blockSize: 32, blockBytes: 20 },
  q4_0: { id: 2, blockSize: 32, blockBytes: 18 },
  iq4_nl: { id: 20, blockSize: 32, blockBytes: 18 },
} as const;

/** `enum ggml_log_level`. */
export const logLevels = { none: 0, debug: 1, info: 2, warn: 3, error: 4, continued: 5 } as const;

/** Sequence ids of a unified KV cache: `LLAMA_MAX_SEQ`. */
export const maxSequences = 256;

/** The library rounds the cells of a sequence up to a multiple of this. */
export const cellPadding = 256;

/** Bytes of a `llama_token_data`: id, logit, p. */
export const tokenDataBytes = 12;

/** `struct llama_model_params`. */
export interface ModelParams {
  devices: Pointer | null;
  tensor_buft_overrides: Pointer | null;
  n_gpu_layers: number;
  split_mode: number;
  load_mode: number;
  lazy_mode: number;
  main_gpu: number;
  tensor_split: Pointer | null;
  progress_callback: Pointer | null;
  progress_callback_user_data: Pointer | null;
  kv_overrides: Pointer | null;
  vocab_only: boolean;
  check_tensors: boolean;
  use_extra_bufts: boolean;
  no_host: boolean;
  no_alloc: boolean;
  load_mtp: boolean;
}

/** `struct llama_context_params`. */
export interface ContextParams {
  n_ctx: number;
  n_batch: number;
  n_ubatch: number;
  n_seq_max: number;
  n_rs_seq: number;
  n_outputs_max: number;
  n_outputs_max_per_seq: number;
  n_threads: number;
  n_threads_batch: number;
  ctx_type: number;
  rope_scaling_type: number;
  pooling_type: number;
  attention_type: number;
  flash_attn_type: number;
  rope_freq_base: number;
  rope_freq_scale: number;
  yarn_ext_factor: number;
  yarn_attn_factor: number;
  yarn_beta_fast: number;
  yarn_beta_slow: number;
  yarn_orig_ctx: number;
  defrag_thold: number;
  cb_eval: Pointer | null;
  cb_eval_user_data: Pointer | null;
  type_k: number;
  type_v: number;
  abort_callback: Pointer | null;
  abort_callback_data: Pointer | null;
  embeddings: boolean;
  offload_kqv: boolean;
  no_perf: boolean;
  op_offload: boolean;
  swa_full: boolean;
  kv_unified: boolean;
  samplers: Pointer | null;
  n_samplers: number;
  ctx_other: Pointer | null;
}

/** `struct llama_batch`. */
export interface Batch {
  n_tokens: number;
  token: Pointer;
  embd: Pointer | null;
  pos: Pointer;
  n_seq_id: Pointer;
  seq_id: Pointer;
  logits: Pointer;
}

/** `struct llama_sampler_chain_params`. */
export interface SamplerChainParams {
  no_perf: boolean;
}

const fields = (type: string, ...names: string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, type]));

/** The structs that cross the boundary by value. They have no names, so that this module can be loaded twice in a process. */
export const structs = {
  modelParams: koffi.struct({
    ...fields("void *", "devices", "tensor_buft_overrides"),
    ...fields("int32_t", "n_gpu_layers", "split_mode", "load_mode", "lazy_mode", "main_gpu"),
    ...fields("void *", "tensor_split", "progress_callback", "progress_callback_user_data", "kv_overrides"),
    ...fields("bool", "vocab_only", "check_tensors", "use_extra_bufts", "no_host", "no_alloc", "load_mtp"),
  }),
  contextParams: koffi.struct({
    ...fields("uint32_t", "n_ctx", "n_batch", "n_ubatch", "n_seq_max", "n_rs_seq", "n_outputs_max"),
    ...fields("uint32_t", "n_outputs_max_per_seq"),
    ...fields("int32_t", "n_threads", "n_threads_batch", "ctx_type", "rope_scaling_type", "pooling_type"),
    ...fields("int32_t", "attention_type", "flash_attn_type"),
    ...fields("float", "rope_freq_base", "rope_freq_scale", "yarn_ext_factor", "yarn_attn_factor"),
    ...fields("float", "yarn_beta_fast", "yarn_beta_slow"),
    yarn_orig_ctx: "uint32_t",
    defrag_thold: "float",
    ...fields("void *", "cb_eval", "cb_eval_user_data"),
    ...fields("int32_t", "type_k", "type_v"),
    ...fields("void *", "abort_callback", "abort_callback_data"),
    ...fields("bool", "embeddings", "offload_kqv", "no_perf", "op_offload", "swa_full", "kv_unified"),
    samplers: "void *",
    n_samplers: "size_t",
    ctx_other: "void *",
  }),
  batch: koffi.struct({
    n_tokens: "int32_t",
    ...fields("void *", "token", "embd", "pos", "n_seq_id", "seq_id", "logits"),
  }),
  samplerChainParams: koffi.struct({ no_perf: "bool" }),
  threadpoolParams: koffi.struct({
    cpumask: koffi.array("bool", 512),
    n_threads: "int",
    prio: "int32_t",
    poll: "uint32_t",
    strict_cpu: "bool",
    paused: "bool",
  }),
  tokenDataArray: koffi.struct({ data: "void *", size: "size_t", selected: "int64_t", sorted: "bool" }),
};

/** How each kind of value is written in koffi's terms. */
const kinds = {
  void: "void",
  ptr: "void *",
  str: "str",
  strs: "str *",
  bool: "bool",
  i32: "int32_t",
  u32: "uint32_t",
  u64: "uint64_t",
  size: "size_t",
  f32: "float",
  modelParams: structs.modelParams,
  contextParams: structs.contextParams,
  batch: structs.batch,
  samplerChainParams: structs.samplerChainParams,
} as const;

type Kind = keyof typeof kinds;

interface Arguments {
  void: never;
  ptr: Memory;
  str: string;
  strs: readonly string[];
  bool: boolean;
  i32: number;
  u32: number;
  u64: number | bigint;
  size: number | bigint;
  f32: number;
  modelParams: ModelParams;
  contextParams: ContextParams;
  batch: Batch;
  samplerChainParams: SamplerChainParams;
}

interface Results extends Omit<Arguments, "void" | "ptr" | "str" | "strs"> {
  void: void;
  ptr: Pointer | null;
  str: string | null;
  strs: never;
}

type Signature = readonly [result: Kind, ...parameters: Kind[]];

type Native<S extends Signature> = S extends readonly [infer R extends Kind, ...infer P extends Kind[]]
  ? (...parameters: { [I in keyof P]: Arguments[P[I]] }) => Results[R]
  : never;

const llama = {
  llama_version: ["str"],
  llama_backend_init: ["void"],
  llama_backend_free: ["void"],
  llama_log_set: ["void", "ptr", "ptr"],
  llama_model_default_params: ["modelParams"],
  llama_context_default_params: ["contextParams"],
  llama_max_devices: ["size"],

  llama_model_load_from_file: ["ptr", "str", "modelParams"],
  llama_model_load_from_splits: ["ptr", "strs", "size", "modelParams"],
  llama_model_free: ["void", "ptr"],
  llama_model_get_vocab: ["ptr", "ptr"],
  llama_model_desc: ["i32", "ptr", "ptr", "size"],
  llama_model_n_params: ["u64", "ptr"],
  llama_model_size: ["u64", "ptr"],
  llama_model_n_ctx_train: ["i32", "ptr"],
  llama_model_n_embd: ["i32", "ptr"],
  llama_model_n_layer: ["i32", "ptr"],
  llama_model_n_head: ["i32", "ptr"],
  llama_model_n_head_kv: ["i32", "ptr"],
  llama_model_n_swa: ["i32", "ptr"],
  llama_model_is_recurrent: ["bool", "ptr"],
  llama_model_is_hybrid: ["bool", "ptr"],
  llama_model_is_diffusion: ["bool", "ptr"],
  llama_model_has_encoder: ["bool", "ptr"],
  llama_model_has_decoder: ["bool", "ptr"],
  llama_model_chat_template: ["str", "ptr", "ptr"],
  llama_model_meta_count: ["i32", "ptr"],
  llama_model_meta_key_by_index: ["i32", "ptr", "i32", "ptr", "size"],
  llama_model_meta_val_str_by_index: ["i32", "ptr", "i32", "ptr", "size"],

  llama_init_from_model: ["ptr", "ptr", "contextParams"],
  llama_free: ["void", "ptr"],
  llama_n_ctx: ["u32", "ptr"],
  llama_n_ctx_seq: ["u32", "ptr"],
  llama_n_batch: ["u32", "ptr"],
  llama_get_memory: ["ptr", "ptr"],
  llama_attach_threadpool: ["void", "ptr", "ptr", "ptr"],
  llama_detach_threadpool: ["void", "ptr"],
  llama_decode: ["i32", "ptr", "batch"],
  llama_get_logits: ["ptr", "ptr"],
  llama_state_get_size: ["size", "ptr"],
  llama_memory_clear: ["void", "ptr", "bool"],
  llama_memory_seq_rm: ["bool", "ptr", "i32", "i32", "i32"],
  llama_memory_seq_cp: ["void", "ptr", "i32", "i32", "i32", "i32"],
  llama_memory_seq_pos_min: ["i32", "ptr", "i32"],
  llama_memory_seq_pos_max: ["i32", "ptr", "i32"],

  llama_vocab_n_tokens: ["i32", "ptr"],
  llama_vocab_type: ["i32", "ptr"],
  llama_vocab_bos: ["i32", "ptr"],
  llama_vocab_eos: ["i32", "ptr"],
  llama_vocab_get_add_bos: ["bool", "ptr"],
  llama_vocab_is_eog: ["bool", "ptr", "i32"],
  llama_vocab_is_control: ["bool", "ptr", "i32"],
  llama_vocab_get_suppress_tokens: ["ptr", "ptr", "ptr"],
  llama_tokenize: ["i32", "ptr", "ptr", "i32", "ptr", "i32", "bool", "bool"],
  llama_token_to_piece: ["i32", "ptr", "i32", "ptr", "i32", "i32", "bool"],

  llama_sampler_chain_init: ["ptr", "samplerChainParams"],
  llama_sampler_chain_add: ["void", "ptr", "ptr"],
  llama_sampler_chain_get: ["ptr", "ptr", "i32"],
  llama_sampler_chain_n: ["i32", "ptr"],
  llama_sampler_clone: ["ptr", "ptr"],
  llama_sampler_free: ["void", "ptr"],
  llama_sampler_accept: ["void", "ptr", "i32"],
  llama_sampler_apply: ["void", "ptr", "ptr"],
  llama_sampler_sample: ["i32", "ptr", "ptr", "i32"],
  llama_sampler_init_greedy: ["ptr"],
  llama_sampler_init_dist: ["ptr", "u32"],
  llama_sampler_init_top_k: ["ptr", "i32"],
  llama_sampler_init_top_p: ["ptr", "f32", "size"],
  llama_sampler_init_min_p: ["ptr", "f32", "size"],
  llama_sampler_init_typical: ["ptr", "f32", "size"],
  llama_sampler_init_temp: ["ptr", "f32"],
  llama_sampler_init_penalties: ["ptr", "i32", "i32", "f32", "f32", "f32"],
  llama_sampler_init_logit_bias: ["ptr", "i32", "i32", "ptr"],
  llama_sampler_init_grammar: ["ptr", "ptr", "str", "str"],
} as const satisfies Record<string, Signature>;

const ggml = {
  ggml_backend_load_all_from_path: ["void", "str"],
  ggml_backend_reg_count: ["size"],
  ggml_backend_dev_count: ["size"],
  ggml_backend_dev_get: ["ptr", "size"],
  ggml_backend_dev_by_type: ["ptr", "i32"],
} as const satisfies Record<string, Signature>;

const ggmlBase = {
  ggml_backend_dev_backend_reg: ["ptr", "ptr"],
  ggml_backend_dev_name: ["str", "ptr"],
  ggml_backend_dev_description: ["str", "ptr"],
  ggml_backend_dev_type: ["i32", "ptr"],
  ggml_backend_dev_memory: ["void", "ptr", "ptr", "ptr"],
  ggml_backend_reg_get_proc_address: ["ptr", "ptr", "str"],
  ggml_threadpool_params_init: ["void", "ptr", "i32"],
} as const satisfies Record<string, Signature>;

/** Signatures by the library that exports them. */
export const signatures = { llama, ggml, ggmlBase };

type Table = typeof llama & typeof ggml & typeof ggmlBase;

/** The bound functions of all three libraries. */
export type Bindings = { readonly [Name in keyof Table]: Native<Table[Name]> };

/** One signature in koffi's terms. */
export function toKoffiSignature(signature: Signature): {
  result: string | TypeObject;
  parameters: (string | TypeObject)[];
} {
  const [result, ...parameters] = signature;
  return { result: kinds[result], parameters: parameters.map((kind) => kinds[kind]) };
}

/** `void (*)(enum ggml_log_level level, const char * text, void * user_data)`. */
export const logCallbackType = koffi.pointer(koffi.proto("void", ["int32_t", "str", "void *"]));

/** `struct ggml_threadpool * (*)(struct ggml_threadpool_params * params)`. */
export const threadpoolNewType = koffi.proto("void *", ["void *"]);

/** `void (*)(struct ggml_threadpool * threadpool)`. */
export const threadpoolFreeType = koffi.proto("void", ["void *"]);
