/**
 * The engine loop's body: scheduler, cache and executor of one model. Synchronous, so that nothing can come between a plan
 * and its result; the process around it drains messages between steps.
 */
import { InkstoneError } from "../errors.ts";
import { createCache } from "./cache/create-cache.ts";
import { mostRunning } from "./executor/executor.ts";
import type { Executor } from "./executor/executor.ts";
import { Scheduler } from "./scheduler/scheduler.ts";
import type { EngineRequest, EngineStats, RequestUpdate } from "./types.ts";

/**
 * Streams compute each prompt for itself: a step with many gains nothing and delays the first token of them all. Measured
 * at depth 1,500 on a CPU: 16 tokens of one stream took 116 ms, of eight 825, of fifteen 1,603.
 */
const STREAMS_PROMPT_ROWS = 8;

/** So many steps in which nobody runs although somebody waits are a fault of the plan, not patience. */
const MOST_EMPTY_STEPS = 1000;

export interface EngineOptions {
  readonly maxNumSeqs: number;
  readonly maxNumBatchedTokens: number;
  /** An idle engine waits as long for a first batch to gather. */
  readonly maxWaitMs: number;
  readonly prefixCache: boolean;
  /** Milliseconds on a clock that does not jump. */
  readonly now: () => number;
}

export interface StepOutcome {
  readonly updates: RequestUpdate[];
  /** Nothing to do until a message comes. */
  readonly idle: boolean;
  /** When above 0: call again after so many milliseconds. */
  readonly waitMs: number;
}

export class Engine {
  readonly #executor: Executor;
  readonly #options: EngineOptions;
  readonly #scheduler: Scheduler;
  readonly #sequenceTokens: number;
  readonly #open = new Set<string>();
  #pending: RequestUpdate[] = [];
  #emptySteps = 0;
  /** When an idle engine got its first request. */
  #gatheringSinceMs: number | null = null;

  constructor(executor: Executor, options: EngineOptions) {
    const { limits } = executor;
    this.#executor = executor;
    this.#options = options;
    this.#sequenceTokens = Math.min(limits.sequenceTokens, limits.kvTotalTokens);
    const maxNumSeqs = mostRunning(limits, options.maxNumSeqs);
    this.#scheduler = new Scheduler({
      cache: createCache(limits.kvLayout, {
        totalTokens: limits.kvTotalTokens,
        sequenceTokens: this.#sequenceTokens,
        sequenceIds: limits.sequenceIds,
      }),
      maxNumSeqs,
      batchTokens: Math.max(maxNumSeqs, Math.min(options.maxNumBatchedTokens, limits.batchTokens)),
      batchOutputs: limits.batchOutputs,
      promptRows: limits.kvLayout === "streams" ? STREAMS_PROMPT_ROWS : Infinity,
      sequenceTokens: this.#sequenceTokens,
      prefixCache: options.prefixCache,
      isEndOfGeneration: (token) => executor.isEndOfGeneration(token),
    });
  }

  get stats(): EngineStats {
    return this.#scheduler.stats;
  }

  /** The ids of the requests that have cells. */
  runningIds(): string[] {
    return this.#scheduler.runningIds();
  }

  /**
   * Queues a request. Throws `invalid_request`, `context_length_exceeded` or `invalid_grammar`; then nothing was queued.
   */
  submit(request: EngineRequest): void {
    const nTokens = request.promptTokens.length + request.outputTokens.length;
    if (this.#open.has(request.id))
      throw new InkstoneError("invalid_request", `request id ${request.id} is in use`);
    if (nTokens === 0)
      throw new InkstoneError("invalid_request", "the prompt has no tokens", { param: "prompt" });
    const longest = request.maxTokens > 0 ? this.#sequenceTokens - 1 : this.#sequenceTokens;
    if (nTokens > longest) {
      throw new InkstoneError(
        "context_length_exceeded",
        `the engine holds at most ${longest} tokens of input, and the request has ${nTokens}`,
      );
    }
    this.#executor.openSampler(request.id, request);
    this.#open.add(request.id);
    const now = this.#options.now();
    if (this.#scheduler.nRunning === 0) this.#gatheringSinceMs ??= now;
    this.#scheduler.add(request, now);
  }

  /** Ends a request; its last update comes with the next step. Unknown ids are ignored. */
  cancel(requestId: string): void {
    const update = this.#scheduler.cancel(requestId, this.#options.now());
    if (update !== null) this.#pending.push(update);
  }

  /** Runs one step. What an executor throws goes through: the state is then unknown, and the process should end. */
  step(): StepOutcome {
    const waitMs = this.#gatherMs();
    if (waitMs > 0) return this.#outcome([], waitMs);
    const plan = this.#scheduler.plan(this.#options.now());
    if (plan.rows.length === 0) {
      if (plan.operations.length > 0) this.#executor.step(plan);
      const outcome = this.#outcome([], 0);
      if (outcome.idle) this.#emptySteps = 0;
      else if (++this.#emptySteps > MOST_EMPTY_STEPS)
        throw new InkstoneError(
          "internal_error",
          `${this.#scheduler.nWaiting} requests wait, and none can run`,
        );
      return outcome;
    }
    this.#emptySteps = 0;
    const result = this.#executor.step(plan);
    return this.#outcome(this.#scheduler.commit(result, this.#options.now()), 0);
  }

  /** Throws when scheduler, cache and executor disagree. For tests. */
  checkIntegrity(): void {
    this.#scheduler.checkIntegrity();
  }

  dispose(): void {
    this.#executor.dispose();
  }

  #gatherMs(): number {
    const { nWaiting, nRunning } = this.#scheduler;
    if (
      nRunning > 0 ||
      nWaiting === 0 ||
      nWaiting >= this.#options.maxNumSeqs ||
      this.#gatheringSinceMs === null
    ) {
      this.#gatheringSinceMs = null;
      return 0;
    }
    const left = this.#gatheringSinceMs + this.#options.maxWaitMs - this.#options.now();
    if (left <= 0) this.#gatheringSinceMs = null;
    return Math.max(0, left);
  }

  #outcome(stepUpdates: RequestUpdate[], waitMs: number): StepOutcome {
    const updates = this.#pending.length === 0 ? stepUpdates : this.#pending.concat(stepUpdates);
    this.#pending = [];
    for (const update of updates) {
      if (update.finish === undefined) continue;
      this.#executor.closeSampler(update.id);
      this.#open.delete(update.id);
    }
    const idle = this.#scheduler.nRunning === 0 && this.#scheduler.nWaiting === 0;
    return { updates, idle, waitMs };
  }
}
