/**
 * An executor without a model, for tests: it keeps cells as the library does, and the next token is a pure function of the
 * tokens that a sequence's cells really hold. A scheduler or cache that mixes cells up produces other tokens, or an error.
 */
import { InkstoneError } from "../../errors.ts";
import { outputsOf } from "../plan.ts";
import type { CacheOperation, PlanRow, RowResult, StepPlan, StepResult } from "../plan.ts";
import type { SequenceId, TokenId, TokenOutput } from "../types.ts";
import type { Executor, ExecutorLimits, SamplerSpec } from "./executor.ts";

export interface ScriptedOptions extends ExecutorLimits {
  /** The token after a context; default: `scriptedToken`. */
  readonly nextToken?: (context: readonly TokenId[]) => TokenId;
  /** Ends a generation; default: none. */
  readonly endOfGeneration?: TokenId;
}

/** Printable ASCII, chosen by a hash of the context (FNV-1a). */
export function scriptedToken(context: readonly TokenId[]): TokenId {
  let hash = 0x811c9dc5;
  for (const token of context) hash = Math.imul(hash ^ token, 0x01000193) >>> 0;
  return 32 + (hash % 95);
}

/** The tokens that a scripted engine generates after `prompt`. */
export function scriptedContinuation(
  prompt: readonly TokenId[],
  nTokens: number,
  nextToken = scriptedToken,
): TokenId[] {
  const context = [...prompt];
  for (let i = 0; i < nTokens; i++) context.push(nextToken(context));
  return context.slice(prompt.length);
}

/** One cell: a token at a position, owned by sequences. */
interface Cell {
  readonly token: TokenId;
  readonly owners: Set<SequenceId>;
}

class ScriptedExecutor implements Executor {
  readonly limits: ExecutorLimits;
  readonly #options: ScriptedOptions;
  readonly #nextToken: (context: readonly TokenId[]) => TokenId;
  /** By sequence, then by position. */
  readonly #sequences: (Cell | undefined)[][];
  readonly #samplers = new Map<string, SamplerSpec>();

  constructor(options: ScriptedOptions) {
    this.#options = options;
    this.limits = options;
    this.#nextToken = options.nextToken ?? scriptedToken;
    this.#sequences = Array.from({ length: options.sequenceIds }, () => []);
  }

  openSampler(requestId: string, spec: SamplerSpec): void {
    if (spec.sampling.grammar === "invalid")
      throw new InkstoneError("invalid_grammar", "the grammar is invalid");
    this.#samplers.set(requestId, spec);
  }

  closeSampler(requestId: string): void {
    this.#samplers.delete(requestId);
  }

  /** Open samplers; tests check that none is left. */
  get nSamplers(): number {
    return this.#samplers.size;
  }

  isEndOfGeneration(token: TokenId): boolean {
    return token === this.#options.endOfGeneration;
  }

  step(plan: StepPlan): StepResult {
    for (const operation of plan.operations) this.#apply(operation);
    const nTokens = plan.rows.reduce((sum, row) => sum + row.tokens.length, 0);
    if (nTokens > this.limits.batchTokens) throw new Error(`a step of ${nTokens} tokens`);
    const nOutputs = plan.rows.reduce((sum, row) => sum + outputsOf(row), 0);
    if (nOutputs > this.limits.batchOutputs) throw new Error(`a step of ${nOutputs} outputs`);
    if (this.usedCells() + nTokens > this.limits.kvTotalTokens) return { status: "no-room" };
    return { status: "done", rows: plan.rows.map((row) => this.#run(row)) };
  }

  usedCells(): number {
    return new Set(this.#sequences.flat().filter((cell) => cell !== undefined)).size;
  }

  dispose(): void {
    this.#samplers.clear();
  }

  #cells(sequence: SequenceId): (Cell | undefined)[] {
    const cells = this.#sequences[sequence];
    if (cells === undefined) throw new Error(`sequence ${sequence} is out of range`);
    return cells;
  }

  #apply(operation: CacheOperation): void {
    if (operation.kind === "remove") {
      const cells = this.#cells(operation.sequence);
      const end = operation.end < 0 ? cells.length : operation.end;
      for (let i = operation.start; i < Math.min(end, cells.length); i++) {
        cells[i]?.owners.delete(operation.sequence);
        cells[i] = undefined;
      }
      if (end >= cells.length) cells.length = Math.min(cells.length, operation.start);
      return;
    }
    const source = this.#cells(operation.from);
    const target = this.#cells(operation.to);
    for (let i = operation.start; i < operation.end; i++) {
      const cell = source[i];
      if (cell === undefined) throw new Error(`sequence ${operation.from} has no cell at ${i} to copy`);
      if (target[i] !== undefined) throw new Error(`sequence ${operation.to} has a cell at ${i} already`);
      if (this.limits.kvLayout === "streams") {
        target[i] = { token: cell.token, owners: new Set([operation.to]) };
      } else {
        cell.owners.add(operation.to);
        target[i] = cell;
      }
    }
  }

  #run(row: PlanRow): RowResult {
    const cells = this.#cells(row.sequence);
    if (cells.length !== row.start)
      throw new Error(`row at ${row.start} of a sequence that holds ${cells.length}`);
    if (row.start + row.tokens.length > this.limits.sequenceTokens)
      throw new Error("a sequence is over its length");
    for (const token of row.tokens) cells.push({ token, owners: new Set([row.sequence]) });
    const spec = this.#samplers.get(row.requestId);
    if (spec === undefined) throw new Error(`request ${row.requestId} has no sampler`);
    const context = cells.map((cell, position) => {
      if (cell === undefined) throw new Error(`sequence ${row.sequence} has no cell at ${position}`);
      return cell.token;
    });
    const sample = row.outputs === "last" || (row.outputs === "all" && row.sample === true);
    return {
      requestId: row.requestId,
      sampled: sample ? this.#output(this.#nextToken(context), spec.topLogprobs) : null,
      targets:
        row.outputs === "all" ? row.targets!.map((token) => this.#output(token, spec.promptLogprobs)) : null,
    };
  }

  #output(token: TokenId, nTop: number): TokenOutput {
    if (nTop < 0) return { token };
    const top = Array.from({ length: nTop }, (_, i) => ({ token: token + i, logprob: -0.5 - i }));
    return { token, logprob: -0.5, top };
  }
}

export type { ScriptedExecutor };

export function createScriptedExecutor(options: ScriptedOptions): ScriptedExecutor {
  return new ScriptedExecutor(options);
}
