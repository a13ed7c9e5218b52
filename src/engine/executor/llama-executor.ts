/** Runs the scheduler's steps with the library. */
import { randomBytes } from "node:crypto";
import { InkstoneError } from "../../errors.ts";
import type { LlamaContext } from "../../native/context.ts";
import type { LlamaModel } from "../../native/model.ts";
import { Candidates } from "../../native/sampler.ts";
import { suppressedTokens } from "../../native/vocabulary.ts";
import { withLogprobs } from "../sampling/logits.ts";
import type { KvLayout, TokenId, TokenOutput } from "../types.ts";
import type {
  CacheOperation,
  Executor,
  ExecutorLimits,
  PlanRow,
  RowResult,
  SamplerSpec,
  StepPlan,
  StepResult,
} from "./executor.ts";
import { holesToFill } from "./llama-decisions.ts";
import { GrammarCache } from "./llama-grammar.ts";
import { RequestSampler } from "./llama-sampler.ts";
import type { SamplingContext } from "./llama-sampler.ts";

export interface LlamaExecutorOptions {
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  readonly kvLayout: KvLayout;
  readonly sequenceTokens: number;
  readonly sequenceIds: number;
}

interface OpenRequest {
  readonly sampler: RequestSampler;
  readonly topLogprobs: number;
  readonly promptLogprobs: number;
}

/** Where the outputs of a row are: of the first one the place among the outputs and in the batch; the others follow. */
interface PlacedRow {
  readonly row: PlanRow;
  firstOutput: number;
  firstIndex: number;
}

/** An executor over one context. */
export class LlamaExecutor implements Executor {
  readonly limits: ExecutorLimits;
  readonly #model: LlamaModel;
  readonly #context: LlamaContext;
  readonly #sampling: SamplingContext;
  readonly #requests = new Map<string, OpenRequest>();
  /** Each position of a sequence is a cell of its own, which can be removed again. */
  readonly #hasPlainCache: boolean;
  readonly #usedCells: (() => number) | null;

  constructor(options: LlamaExecutorOptions) {
    const { model, context } = options;
    this.#model = model;
    this.#context = context;
    this.limits = {
      kvLayout: options.kvLayout,
      kvTotalTokens: context.cells,
      sequenceTokens: options.sequenceTokens,
      sequenceIds: options.sequenceIds,
      batchTokens: context.batchTokens,
      batchOutputs: Math.min(context.batchOutputs, context.batchTokens),
    };
    const candidates = new Candidates(model, model.facts.nVocab);
    this.#sampling = {
      model,
      context,
      candidates,
      grammars: new GrammarCache({ model, candidates }, context.handle),
      vocabulary: Int32Array.from({ length: model.facts.nVocab }, (_, token) => token),
      contextTokens: options.sequenceTokens,
      suppressedTokens: suppressedTokens(model),
      randomSeed: () => randomBytes(4).readUInt32LE(),
    };
    const { isRecurrent, isHybrid, nSwa } = model.facts;
    this.#hasPlainCache = !isRecurrent && !isHybrid && nSwa === 0;
    this.#usedCells = this.#warmUp();
  }

  openSampler(requestId: string, spec: SamplerSpec): void {
    this.closeSampler(requestId);
    this.#requests.set(requestId, {
      sampler: new RequestSampler(this.#sampling, spec),
      topLogprobs: spec.topLogprobs,
      promptLogprobs: spec.promptLogprobs,
    });
  }

  closeSampler(requestId: string): void {
    this.#requests.get(requestId)?.sampler.dispose();
    this.#requests.delete(requestId);
  }

  isEndOfGeneration(token: TokenId): boolean {
    return this.#model.native.lib.llama_vocab_is_eog(this.#model.vocabulary, token);
  }

  step(plan: StepPlan): StepResult {
    for (const operation of plan.operations) this.#apply(operation);
    if (plan.rows.length === 0) return { status: "done", rows: [] };
    const context = this.#context;
    const placed = plan.rows.map((row) => ({ row, firstOutput: 0, firstIndex: 0 }));
    const filled = this.#fillBatch(placed);
    let status: ReturnType<LlamaContext["decode"]>;
    try {
      status = context.decode();
    } finally {
      for (const { sequence, length } of filled) context.removeSequence(sequence, length, -1);
    }
    if (status === "no-room") return { status };
    return { status: "done", rows: placed.map((row) => this.#readRow(row)) };
  }

  usedCells(): number | null {
    return this.#usedCells?.() ?? null;
  }

  dispose(): void {
    this.#requests.clear();
    this.#model.dispose();
  }

  #apply(operation: CacheOperation): void {
    const context = this.#context;
    if (operation.kind === "remove") {
      if (!context.removeSequence(operation.sequence, operation.start, operation.end)) {
        throw new InkstoneError(
          "internal_error",
          `The cache of ${this.#model.facts.description} cannot remove positions ${operation.start} to ${operation.end} of a sequence.`,
        );
      }
      return;
    }
    const { from, to, start, end } = operation;
    if (this.limits.kvLayout === "unified") {
      context.copySequence(from, to, start, end);
      return;
    }
    // A stream is copied as a whole and cut then; its part would make the library abort.
    if (start !== 0) {
      throw new InkstoneError(
        "internal_error",
        `A stream can be copied from its start only, not from position ${start}.`,
      );
    }
    if (from === to) return;
    context.copySequence(from, to, -1, -1);
    if (end >= 0) context.removeSequence(to, end, -1);
  }

  /** Writes the rows into the batch, in the order that suits the layout; answers the streams that were filled. */
  #fillBatch(placed: PlacedRow[]): { sequence: number; length: number }[] {
    const context = this.#context;
    context.clear();
    const streams = this.limits.kvLayout === "streams";
    const ordered = streams ? [...placed].sort((a, b) => a.row.sequence - b.row.sequence) : placed;
    const fillers = streams && this.#hasPlainCache ? this.#fillers(ordered) : [];
    let nOutputs = 0;
    let nextFiller = 0;
    for (const place of ordered) {
      const { row } = place;
      for (; (fillers[nextFiller]?.sequence ?? Infinity) < row.sequence; nextFiller++) {
        const filler = fillers[nextFiller];
        if (filler !== undefined) context.add(0, filler.length, filler.sequence, false);
      }
      const firstOutput = firstOutputOf(row);
      place.firstOutput = nOutputs;
      place.firstIndex = context.size + firstOutput;
      for (let index = 0; index < row.tokens.length; index++) {
        const isOutput = index >= firstOutput && index < firstOutput + countOutputs(row);
        if (isOutput) nOutputs++;
        context.add(row.tokens[index] as TokenId, row.start + index, row.sequence, isOutput);
      }
    }
    return fillers;
  }

  #fillers(ordered: readonly PlacedRow[]): { sequence: number; length: number }[] {
    if (ordered.some(({ row }) => row.tokens.length !== 1)) return [];
    if (2 * ordered.length > this.limits.batchTokens) return [];
    const lengthOf = (sequence: number): number => this.#context.sequenceRange(sequence).end;
    return holesToFill(
      ordered.map(({ row }) => row.sequence),
      lengthOf,
      this.limits.sequenceTokens,
    ).map((sequence) => ({ sequence, length: lengthOf(sequence) }));
  }

  #readRow({ row, firstOutput, firstIndex }: PlacedRow): RowResult {
    const { requestId } = row;
    if (row.outputs === "none") return { requestId, sampled: null, targets: null };
    const request = this.#requests.get(requestId);
    if (request === undefined) {
      throw new InkstoneError("internal_error", `Request ${requestId} has no sampler.`);
    }
    const targets = row.outputs === "all" ? (row.targets ?? []) : null;
    const targetOutputs = targets?.map((target, index) =>
      this.#describe(target, firstOutput + index, request.promptLogprobs),
    );
    const result: RowResult = { requestId, sampled: null, targets: targetOutputs ?? null };
    if (row.outputs !== "last" && row.sample !== true) return result;
    const last = countOutputs(row) - 1;
    try {
      const token = request.sampler.sample(firstOutput + last, firstIndex + last);
      return { ...result, sampled: this.#describe(token, firstOutput + last, request.topLogprobs) };
    } catch (error) {
      // A grammar concerns its own request only.
      if (!(error instanceof InkstoneError) || error.code !== "invalid_grammar") throw error;
      return { ...result, error: { code: error.code, message: error.message } };
    }
  }

  #describe(token: TokenId, output: number, top: number): TokenOutput {
    return top < 0 ? { token } : withLogprobs(this.#context.logits(output), token, top);
  }

  /**
   * Computes two tokens and forgets them: what does not work shows before the first request, and the buffers are made.
   * Answers how used cells are counted, or null where the library does not tell.
   */
  #warmUp(): (() => number) | null {
    const context = this.#context;
    const compute = (position: number): void => {
      context.clear();
      context.add(0, position, 0, position === 0);
      if (context.decode() !== "done") {
        throw new InkstoneError("out_of_memory", "The KV cache has no room for two tokens.");
      }
    };
    compute(0);
    const oneCell = context.stateBytes();
    compute(1);
    const cellBytes = context.stateBytes() - oneCell;
    context.clearCache();
    if (!this.#hasPlainCache) return null;

    const held = (ids: number): number => {
      let total = 0;
      for (let sequence = 0; sequence < ids; sequence++) {
        const { start, end } = context.sequenceRange(sequence);
        total += end - start;
      }
      return total;
    };
    if (this.limits.kvLayout === "streams") return () => held(this.limits.sequenceIds);
    // The saved state has a fixed part, a part for each cell, and 4 bytes for each owner of a cell (of the ids below
    // the number of sequences that the context was sized for).
    const ownerBytes = 4;
    const fixedBytes = oneCell - cellBytes;
    return () => {
      const owners = held(context.sequences);
      const bytes = context.stateBytes() - fixedBytes - ownerBytes * owners;
      return Math.max(0, Math.round(bytes / (cellBytes - ownerBytes)));
    };
  }
}

function countOutputs(row: PlanRow): number {
  if (row.outputs === "none") return 0;
  if (row.outputs === "last") return 1;
  return row.sample === true ? row.tokens.length : (row.targets?.length ?? 0);
}

/** Index, in a row's tokens, of the first whose logits are wanted. */
function firstOutputOf(row: PlanRow): number {
  return row.outputs === "last" ? row.tokens.length - 1 : 0;
}
