/** What the engine decides about a model before it makes the context. Pure. */
import { InkstoneError } from "../../errors.ts";
import { cellPadding, kvCacheTypes, maxSequences } from "../../native/abi.ts";
import type { ModelFacts } from "../../native/model.ts";
import type { KvCacheType, KvLayout } from "../types.ts";

const GiB = 1024 ** 3;
const defaultContextWindow = 8192;

/** Most memory that the streams layout may reserve, in bytes and as a share of what is available. */
const streamsLimits = { bytes: 2 * GiB, availableShare: 0.15, sequences: 64 };
/**
 * Most memory of a unified cache whose size is not set: a share of what is available, and on a CPU no more than this, as
 * the cache is cleared at start and every step looks at all cells up to the last used one.
 */
const unifiedLimits = { availableShare: 0.25, cpuBytes: GiB };
/** A context whose buffers are sized for more sequences than this gains nothing from it. */
const unifiedSequenceBuffers = 32;
/**
 * Rows of logits that a step can have beside one for each running request (log-probabilities of prompts): the most, for
 * vocabularies up to this size, and the fewest, as each costs passes over the whole vocabulary.
 */
const extraOutputs = { most: 32, vocabulary: 49_152, fewest: 8 };

/**
 * Bytes of one cell over all layers. From the scalar metadata: a model whose layers differ in their number of KV heads
 * is estimated by its first layer. 0 for a purely recurrent model.
 */
export function kvBytesPerToken(facts: ModelFacts, typeK: KvCacheType, typeV: KvCacheType): number {
  if (facts.isRecurrent) return 0;
  const number = (key: string): number | null => {
    const value = Number(facts.metadata[`${facts.architecture}.attention.${key}`] ?? Number.NaN);
    return Number.isFinite(value) && value > 0 ? value : null;
  };
  const headSize = facts.nEmbd / facts.nHead;
  const perHead = (values: number, type: KvCacheType): number => {
    const { blockSize, blockBytes } = kvCacheTypes[type];
    return Math.ceil((values * facts.nHeadKv) / blockSize) * blockBytes;
  };
  const keys = perHead(number("key_length") ?? headSize, typeK);
  // Multi-head latent attention keeps no values of its own: they are part of the keys.
  const values = number("key_length_mla") !== null ? 0 : perHead(number("value_length") ?? headSize, typeV);
  return facts.nLayer * (keys + values);
}

/** Cells rounded up as the library does. */
export function padCells(cells: number): number {
  return Math.ceil(cells / cellPadding) * cellPadding;
}

/**
 * The context window of a request: the setting, else the smallest of what the model was trained for, 8192 and the cells
 * of a cache whose size is set. Throws `invalid_config` for more than the model was trained for or the cache can hold.
 */
export function chooseContextWindow(
  setting: number | null,
  nCtxTrain: number,
  kvCacheTokens: number | null,
): number {
  const trained = nCtxTrain > 0 ? nCtxTrain : Infinity;
  const cells = kvCacheTokens ?? Infinity;
  if (setting === null) return Math.min(trained, cells, defaultContextWindow);
  const refuse = (reason: string): InkstoneError =>
    new InkstoneError("invalid_config", `The context window is ${setting} tokens, but ${reason}.`, {
      param: "context-window",
    });
  if (setting > trained) throw refuse(`the model was trained for at most ${trained}`);
  if (setting > cells) throw refuse(`the KV cache is to hold only ${cells}`);
  return setting;
}

export interface KvLayoutFacts {
  readonly kvBytesPerToken: number;
  readonly maxNumSeqs: number;
  readonly contextWindow: number;
  /** Cells in all that the configuration asks for; null: from the memory at hand. */
  readonly kvCacheTokens: number | null;
  readonly nVocab: number;
  readonly availableMemoryBytes: number;
  /** The cache lies in the memory of a GPU. */
  readonly onGpu: boolean;
  /** The model keeps a recurrent state, alone or beside its cells. */
  readonly recurrent: boolean;
}

/**
 * The layout of the setting. "auto": streams where every request can have a whole context window of its own without much
 * memory: unrelated requests then decode faster, as none scans the cells of another. Else one unified cache, also where the
 * number of its cells is set.
 * Throws `invalid_config` for streams that take more cells than are set.
 */
export function chooseKvLayout(setting: KvLayout | "auto", facts: KvLayoutFacts): KvLayout {
  const { maxNumSeqs, contextWindow, kvCacheTokens } = facts;
  if (setting === "unified") return setting;
  if (setting === "streams") {
    if (kvCacheTokens === null || kvCacheTokens >= maxNumSeqs * contextWindow) return setting;
    throw new InkstoneError(
      "invalid_config",
      `The streams layout takes ${maxNumSeqs} context windows of ${contextWindow} tokens, but the KV cache is to hold only ${kvCacheTokens}.`,
      { param: "kv-cache-tokens" },
    );
  }
  const bytes = maxNumSeqs * padCells(contextWindow) * facts.kvBytesPerToken;
  const fits =
    bytes <= streamsLimits.bytes && bytes <= streamsLimits.availableShare * facts.availableMemoryBytes;
  const small = fits && maxNumSeqs <= streamsLimits.sequences;
  return small && !facts.recurrent && kvCacheTokens === null ? "streams" : "unified";
}

/** Sizes of a context. */
export interface CacheShape {
  /** Cells of all sequences. */
  readonly cells: number;
  /** Most cells of one sequence. */
  readonly sequenceTokens: number;
  readonly sequenceIds: number;
  /** Sequences that the library sizes its buffers for. */
  readonly nSeqMax: number;
  readonly batchOutputs: number;
}

/** The sizes of a context with this layout. */
export function shapeCache(layout: KvLayout, facts: KvLayoutFacts): CacheShape {
  const { contextWindow, maxNumSeqs } = facts;
  const scaledOutputs = Math.floor((extraOutputs.most * extraOutputs.vocabulary) / facts.nVocab);
  const batchOutputs = maxNumSeqs + Math.min(extraOutputs.most, Math.max(extraOutputs.fewest, scaledOutputs));
  if (layout === "streams") {
    return {
      cells: maxNumSeqs * padCells(contextWindow),
      sequenceTokens: contextWindow,
      sequenceIds: maxNumSeqs,
      nSeqMax: maxNumSeqs,
      batchOutputs,
    };
  }
  const share = unifiedLimits.availableShare * facts.availableMemoryBytes;
  const bytes = facts.onGpu ? share : Math.min(share, unifiedLimits.cpuBytes);
  const affordable =
    facts.kvBytesPerToken > 0 ? Math.floor(bytes / facts.kvBytesPerToken) : Number.MAX_SAFE_INTEGER;
  const wanted = facts.kvCacheTokens ?? Math.min(maxNumSeqs * contextWindow, affordable);
  const cells = Math.max(contextWindow, wanted);
  // A recurrent state exists once for each of the library's sequences, so that only those ids can be used.
  const nSeqMax = facts.recurrent ? maxNumSeqs : unifiedSequenceBuffers;
  return {
    cells: padCells(cells),
    sequenceTokens: contextWindow,
    sequenceIds: facts.recurrent ? maxNumSeqs : maxSequences,
    nSeqMax,
    batchOutputs: Math.max(batchOutputs, nSeqMax),
  };
}

/** Does the KV cache keep values in blocks? Then the library demands flash attention. */
export function isQuantised(type: KvCacheType): boolean {
  return kvCacheTypes[type].blockSize > 1;
}

/**
 * The flash attention to ask the library for; "auto" leaves it off only where a device does not support it. On a GPU it is
 * the faster one. On a CPU it skips the cells of other sequences and computes prompts faster, and takes no buffer that
 * grows with the cache; only many rows over one long shared prefix decode faster without it.
 * Throws `invalid_config` when it is off although the values are quantised.
 */
export function chooseFlashAttn(setting: "auto" | "on" | "off", typeV: KvCacheType): "auto" | "on" | "off" {
  if (!isQuantised(typeV)) return setting;
  if (setting !== "off") return "on";
  throw new InkstoneError(
    "invalid_config",
    `A KV cache with values of type ${typeV} needs flash attention, which is off.`,
    { param: "flash-attn" },
  );
}

/**
 * Streams that a step of single tokens passes by, so that the library would split it in several. Each can be filled with a
 * token that is computed for nothing and removed: worth it when fewer are filled than rows are computed, and when
 * filling makes no row look at more cells than the step does anyway. `sequences` ascend; `lengthOf` gives the tokens that
 * a stream holds. Answers the streams to fill, ascending.
 */
export function holesToFill(
  sequences: readonly number[],
  lengthOf: (sequence: number) => number,
  sequenceTokens: number,
): number[] {
  const first = sequences[0];
  const last = sequences.at(-1);
  if (first === undefined || last === undefined || last - first + 1 === sequences.length) return [];
  if (last - first + 1 >= 2 * sequences.length) return [];
  const present = new Set(sequences);
  const longest = Math.min(Math.max(...sequences.map(lengthOf)), sequenceTokens - 1);
  const holes: number[] = [];
  for (let sequence = first + 1; sequence < last; sequence++) {
    if (!present.has(sequence) && lengthOf(sequence) <= longest) holes.push(sequence);
  }
  return holes;
}
