/** What tells the expected libllama from another one: its version, the sizes of its structs and its default values. */
import { kvCacheTypes } from "./abi.ts";
import type { ContextParams, ModelParams, structs } from "./abi.ts";

/** What `llama_version()` must answer; a build that is not from a release tarball appends "-dev". */
export const expectedLibraryVersion = "0.5.0";

/** Bytes of each struct on a 64-bit machine; another size means that the layout above is not the platform's. */
export const expectedStructBytes: Readonly<Record<keyof typeof structs, number>> = {
  modelParams: 80,
  contextParams: 160,
  batch: 56,
  samplerChainParams: 1,
  threadpoolParams: 528,
  tokenDataArray: 32,
};

/** Default values that the library must answer with: fields spread over each struct, so that a shifted layout shows. */
export const expectedModelDefaults: Readonly<Partial<ModelParams>> = {
  devices: null,
  n_gpu_layers: -1,
  split_mode: 1,
  load_mode: -1,
  lazy_mode: 1,
  main_gpu: 0,
  tensor_split: null,
  kv_overrides: null,
  vocab_only: false,
  check_tensors: false,
  use_extra_bufts: true,
  no_host: false,
  no_alloc: false,
  load_mtp: false,
};

/** As `expectedModelDefaults`, for `llama_context_params`. */
export const expectedContextDefaults: Readonly<Partial<ContextParams>> = {
  n_ctx: 512,
  n_batch: 2048,
  n_ubatch: 512,
  n_seq_max: 1,
  n_rs_seq: 0,
  n_outputs_max: 0,
  n_outputs_max_per_seq: 1,
  n_threads: 4,
  n_threads_batch: 4,
  ctx_type: 0,
  rope_scaling_type: -1,
  pooling_type: -1,
  attention_type: -1,
  flash_attn_type: -1,
  rope_freq_base: 0,
  yarn_ext_factor: -1,
  yarn_orig_ctx: 0,
  defrag_thold: -1,
  type_k: kvCacheTypes.f16.id,
  type_v: kvCacheTypes.f16.id,
  embeddings: false,
  offload_kqv: true,
  no_perf: true,
  op_offload: true,
  swa_full: true,
  kv_unified: false,
  samplers: null,
  n_samplers: 0,
  ctx_other: null,
};
