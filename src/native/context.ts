/** A context: the KV cache, the batch that is computed next, and the logits of the last one. */
import { InkstoneError } from "../errors.ts";
import { flashAttnTypes, kvCacheTypes } from "./abi.ts";
import type { Batch, Pointer } from "./abi.ts";
import { Handle, disposeOnError } from "./handle.ts";
import { failureReason } from "./log.ts";
import type { LlamaModel } from "./model.ts";
import { NativeMemory, viewFloats } from "./memory.ts";
import { createThreadpool } from "./threadpool.ts";

export interface ContextOptions {
  /** Cells of all sequences together. */
  readonly cells: number;
  /** Most tokens of one batch; a batch is computed at once. */
  readonly batchTokens: number;
  /** Most rows of logits of one batch; at least `sequences`. */
  readonly batchOutputs: number;
  /** Streams (not unified), or the sequences that buffers are sized for (unified). */
  readonly sequences: number;
  /** One buffer for all sequences, or one each. */
  readonly unified: boolean;
  /** "auto": where every device supports it. */
  readonly flashAttn: keyof typeof flashAttnTypes;
  readonly typeK: keyof typeof kvCacheTypes;
  readonly typeV: keyof typeof kvCacheTypes;
  /** Threads for single tokens, and for batches. */
  readonly threads: number;
  readonly threadsBatch: number;
  /** What the cells take, for the message when there is no room. */
  readonly kvBytes: number;
}

/** "done", or "no-room" when no cells were found for the batch; then nothing has changed. */
export type DecodeStatus = "done" | "no-room";

/**
 * Makes a context with a thread pool attached. Throws `out_of_memory` when the library has no room for it and
 * `model_load_failed` when it refuses the options.
 */
export function createContext(model: LlamaModel, options: ContextOptions): LlamaContext {
  const { lib, log } = model.native;
  const params = lib.llama_context_default_params();
  params.n_ctx = options.cells;
  params.n_batch = options.batchTokens;
  params.n_ubatch = options.batchTokens;
  params.n_seq_max = options.sequences;
  params.n_outputs_max = Math.max(options.batchOutputs, options.sequences);
  params.n_outputs_max_per_seq = 0;
  params.n_threads = options.threads;
  params.n_threads_batch = options.threadsBatch;
  params.flash_attn_type = flashAttnTypes[options.flashAttn];
  params.type_k = kvCacheTypes[options.typeK].id;
  params.type_v = kvCacheTypes[options.typeV].id;
  params.kv_unified = options.unified;

  const { value: pointer, lines } = log.capture(() => lib.llama_init_from_model(model.pointer, params));
  if (pointer === null) {
    const reason = failureReason(lines);
    const outOfMemory = /alloc|memory/i.test(lines.map(({ text }) => text).join("\n"));
    throw new InkstoneError(
      outOfMemory ? "out_of_memory" : "model_load_failed",
      `A KV cache of ${options.cells} tokens (${options.kvBytes} bytes) could not be made: ${reason}.`,
    );
  }
  const handle = new Handle(model.handle, () => lib.llama_free(pointer));
  const flashAttn =
    options.flashAttn !== "off" && !lines.some(({ text }) => /Flash Attention not supported/.test(text));
  return disposeOnError(handle, () => new LlamaContext(model, pointer, handle, options, flashAttn));
}

/** A context and the batch that it computes. */
export class LlamaContext {
  readonly model: LlamaModel;
  readonly pointer: Pointer;
  readonly handle: Handle;
  /** Cells as the library rounded them: of all sequences, and of one. */
  readonly cells: number;
  readonly sequenceCells: number;
  readonly batchTokens: number;
  readonly batchOutputs: number;
  /** Sequences that the library's buffers are sized for. */
  readonly sequences: number;
  readonly flashAttn: boolean;
  readonly #memory: Pointer;
  readonly #nVocab: number;
  readonly #batch: Batch;
  readonly #tokens: Int32Array;
  readonly #positions: Int32Array;
  readonly #sequences: Int32Array;
  readonly #outputs: Int8Array;
  #nTokens = 0;
  #nOutputs = 0;
  #logits: Float32Array | null = null;
  #logitsPointer: Pointer | null = null;

  constructor(
    model: LlamaModel,
    pointer: Pointer,
    handle: Handle,
    options: ContextOptions,
    flashAttn: boolean,
  ) {
    const { native } = model;
    const { lib } = native;
    this.model = model;
    this.pointer = pointer;
    this.handle = handle;
    this.cells = lib.llama_n_ctx(pointer);
    this.sequenceCells = lib.llama_n_ctx_seq(pointer);
    this.batchTokens = lib.llama_n_batch(pointer);
    this.batchOutputs = Math.max(options.batchOutputs, options.sequences);
    this.sequences = options.sequences;
    this.flashAttn = flashAttn;
    this.#nVocab = model.facts.nVocab;
    const memory = lib.llama_get_memory(pointer);
    if (memory === null) {
      throw new InkstoneError("model_load_failed", `${model.facts.description} keeps no KV cache.`);
    }
    this.#memory = memory;

    const pool = createThreadpool(native, Math.max(options.threads, options.threadsBatch), handle);
    lib.llama_attach_threadpool(pointer, pool, null);
    // Made after the pool, so released before it: the context never holds a pool that is gone.
    new Handle(handle, () => lib.llama_detach_threadpool(pointer));

    // Columns of n entries: token, position, count of sequence ids (always 1), address of the id, id, output.
    const n = this.batchTokens;
    const block = new NativeMemory(n * (8 + 4 * 4 + 1));
    new Handle(handle, () => block.free());
    const at = {
      ids: 0,
      tokens: 8 * n,
      positions: 12 * n,
      counts: 16 * n,
      sequences: 20 * n,
      outputs: 24 * n,
    };
    this.#tokens = block.int32(at.tokens, n);
    this.#positions = block.int32(at.positions, n);
    this.#sequences = block.int32(at.sequences, n);
    this.#outputs = block.int8(at.outputs, n);
    block.int32(at.counts, n).fill(1);
    const addresses = block.uint64(at.ids, n);
    for (let index = 0; index < n; index++) addresses[index] = block.at(at.sequences + 4 * index);
    this.#batch = {
      n_tokens: 0,
      token: block.at(at.tokens),
      embd: null,
      pos: block.at(at.positions),
      n_seq_id: block.at(at.counts),
      seq_id: block.at(at.ids),
      logits: block.at(at.outputs),
    };
  }

  /** Tokens in the batch so far. */
  get size(): number {
    return this.#nTokens;
  }

  /** Empties the batch. */
  clear(): void {
    this.#nTokens = 0;
    this.#nOutputs = 0;
  }

  /** Appends a token to the batch. Throws `internal_error` instead of letting the library abort on a batch too large. */
  add(token: number, position: number, sequence: number, output: boolean): void {
    const index = this.#nTokens;
    if (index >= this.batchTokens) {
      throw new InkstoneError("internal_error", `A step has more than ${this.batchTokens} tokens.`);
    }
    if (output && ++this.#nOutputs > this.batchOutputs) {
      throw new InkstoneError("internal_error", `A step has more than ${this.batchOutputs} outputs.`);
    }
    this.#tokens[index] = token;
    this.#positions[index] = position;
    this.#sequences[index] = sequence;
    this.#outputs[index] = output ? 1 : 0;
    this.#nTokens = index + 1;
  }

  /** Computes the batch. Throws `internal_error` with the library's reason when it fails. */
  decode(): DecodeStatus {
    const { lib, log } = this.model.native;
    this.#batch.n_tokens = this.#nTokens;
    const { value: status, lines } = log.capture(() => lib.llama_decode(this.pointer, this.#batch));
    if (status === 0) return "done";
    if (status === 1) return "no-room";
    throw new InkstoneError(
      "internal_error",
      `The library could not compute a step of ${this.#nTokens} tokens (status ${status}): ${failureReason(lines)}.`,
    );
  }

  /**
   * Logits of the nth output of the last batch, in the batch's order: the library's own memory, valid until the next
   * `decode`. Waits until they are computed.
   */
  logits(output: number): Float32Array {
    const pointer = this.model.native.lib.llama_get_logits(this.pointer);
    if (pointer === null || output >= this.#nOutputs) {
      throw new InkstoneError("internal_error", `Output ${output} of ${this.#nOutputs} has no logits.`);
    }
    const length = this.#nOutputs * this.#nVocab;
    if (this.#logits === null || pointer !== this.#logitsPointer || this.#logits.length < length) {
      this.#logits = viewFloats(pointer, length);
      this.#logitsPointer = pointer;
    }
    return this.#logits.subarray(output * this.#nVocab, (output + 1) * this.#nVocab);
  }

  /** Shares (unified) or copies (streams: the whole sequence, `start` 0 and `end` -1 only) cells of a sequence. */
  copySequence(from: number, to: number, start: number, end: number): void {
    this.model.native.lib.llama_memory_seq_cp(this.#memory, from, to, start, end);
  }

  /** Removes cells of a sequence; `end` -1: to its end. False when the model cannot remove a part. */
  removeSequence(sequence: number, start: number, end: number): boolean {
    return this.model.native.lib.llama_memory_seq_rm(this.#memory, sequence, start, end);
  }

  /** Positions that a sequence holds: the first, and the one after its last; both 0 when it is empty. */
  sequenceRange(sequence: number): { start: number; end: number } {
    const { lib } = this.model.native;
    const end = lib.llama_memory_seq_pos_max(this.#memory, sequence) + 1;
    return { start: end === 0 ? 0 : lib.llama_memory_seq_pos_min(this.#memory, sequence), end };
  }

  /** Removes all cells. */
  clearCache(): void {
    this.model.native.lib.llama_memory_clear(this.#memory, false);
  }

  /** Bytes of the whole saved state: a fixed part, and a part for each used cell. */
  stateBytes(): number {
    return Number(this.model.native.lib.llama_state_get_size(this.pointer));
  }

  dispose(): void {
    this.handle.dispose();
  }
}
