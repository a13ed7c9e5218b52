/**
 * Who runs in the next step. `plan` gives each running sequence the tokens that it lacks, under one budget: first those
 * that only need their next token, then prompts in chunks, then as many waiting requests as fit. `commit` takes what the step
 * brought. Nothing here knows a model; the order of calls is plan, commit, plan, commit, with `add` and `cancel` between.
 *
 * After vLLM's v1 scheduler ("{request: tokens}" unifies prefill, decode, chunks and preemption) and SGLang's radix cache.
 */
import type { KvCache } from "../cache/kv-cache.ts";
import { commonPrefixLength } from "../cache/kv-cache.ts";
import type { ErrorCode } from "../../errors.ts";
import { outputsOf } from "../plan.ts";
import type { PlanRow, StepPlan, StepResult } from "../plan.ts";
import type {
  EngineFinishReason,
  EngineRequest,
  EngineStats,
  RequestUpdate,
  TokenId,
  TokenOutput,
} from "../types.ts";
import { planRow } from "./plan-row.ts";
import {
  compareRequests,
  createRequestState,
  insertInOrder,
  timingsOf,
  wantsPromptLogprobs,
  type RequestState,
} from "./request-state.ts";

/** A follower waits for its leader when that saves at least so many tokens. */
const SMALLEST_HOLD_BACK_TOKENS = 32;
/** A request that must run alone has shown after so many tokens that it does no harm. */
const ALONE_TOKENS = 16;

export interface SchedulerOptions {
  readonly cache: KvCache;
  readonly maxNumSeqs: number;
  /** Budget of one step. */
  readonly batchTokens: number;
  /** Most rows of logits in one step. */
  readonly batchOutputs: number;
  /** Most prompts that one step computes beside the sequences that only need their next token. */
  readonly promptRows: number;
  /** Most tokens of one sequence. */
  readonly sequenceTokens: number;
  /** Keep the cells of finished requests, and share those of running ones. */
  readonly prefixCache: boolean;
  readonly isEndOfGeneration: (token: TokenId) => boolean;
}

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #cache: KvCache;
  readonly #states = new Map<string, RequestState>();
  /** Both in serving order. */
  readonly #waiting: RequestState[] = [];
  readonly #running: RequestState[] = [];
  /** Most log-probabilities of prompts in one row: other sequences keep their outputs, and a step stays short. */
  readonly #mostTargets: number;
  #planned: PlanRow[] = [];
  #arrivals = 0;
  #steps = 0;
  #promptTokens = 0;
  #generatedTokens = 0;
  #preemptions = 0;
  #prefixCacheQueries = 0;
  #prefixCacheHits = 0;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#cache = options.cache;
    this.#mostTargets = Math.max(1, options.batchOutputs - options.maxNumSeqs);
  }

  get nWaiting(): number {
    return this.#waiting.length;
  }

  get nRunning(): number {
    return this.#running.length;
  }

  get stats(): EngineStats {
    const { usedTokens, liveTokens, totalTokens, evictedTokens } = this.#cache.usage;
    return {
      running: this.#running.length,
      waiting: this.#waiting.length,
      kvUsedTokens: usedTokens,
      kvLiveTokens: liveTokens,
      kvTotalTokens: totalTokens,
      steps: this.#steps,
      promptTokens: this.#promptTokens,
      generatedTokens: this.#generatedTokens,
      preemptions: this.#preemptions,
      prefixCacheQueries: this.#prefixCacheQueries,
      prefixCacheHits: this.#prefixCacheHits,
      evictedTokens,
    };
  }

  /** Queues a request. The caller has checked that its prompt and one token more fit into a sequence and into the cache. */
  add(request: EngineRequest, nowMs: number): void {
    const state = createRequestState(request, this.#arrivals++, nowMs);
    this.#states.set(request.id, state);
    insertInOrder(this.#waiting, state);
  }

  /** Ends a request now; returns its last update, or null for an unknown id. */
  cancel(requestId: string, nowMs: number): RequestUpdate | null {
    const state = this.#states.get(requestId);
    if (state === undefined) return null;
    return this.#finish(state, { reason: "cancelled" }, [], nowMs);
  }

  /** The ids of the running requests, in serving order. */
  runningIds(): string[] {
    return this.#running.map((state) => state.request.id);
  }

  /** The next step. Its rows are empty when nothing can run. */
  plan(nowMs: number): StepPlan {
    const rows: PlanRow[] = [];
    let budget = this.#options.batchTokens;
    let outputs = this.#options.batchOutputs;
    let promptRows = this.#options.promptRows;
    const hasRoom = (): boolean => budget > 0 && outputs > 0 && promptRows > 0;
    const schedule = (state: RequestState): boolean => {
      const row = planRow(state, budget, outputs, this.#mostTargets);
      if (row === null || !this.#cache.reserve(state.sequence!, row.tokens.length)) return false;
      rows.push(row);
      budget -= row.tokens.length;
      outputs -= outputsOf(row);
      if (row.tokens.length > 1) promptRows--;
      return true;
    };

    this.#giveWayToPriority();
    // a running sequence never waits for room: the one that is served last gives way
    for (const needsPrompt of [false, true]) {
      for (let i = 0; i < this.#running.length && hasRoom(); i++) {
        const state = this.#running[i]!;
        if (state.tokens.length - state.nComputed > 1 !== needsPrompt) continue;
        while (state.sequence !== null && !schedule(state)) {
          const victim = this.#lastUnplanned(rows);
          if (victim === null) break;
          this.#preempt(victim);
        }
      }
    }
    this.#admit(schedule, hasRoom, nowMs);
    this.#planned = rows;
    return { operations: this.#cache.takeOperations(), rows };
  }

  /** Takes the result of the step that `plan` described; returns what each request got. */
  commit(result: StepResult, nowMs: number): RequestUpdate[] {
    const rows = this.#planned;
    this.#planned = [];
    if (result.status === "no-room") {
      this.#cache.releaseReservations();
      return this.#makeRoom(nowMs);
    }
    this.#steps++;
    const updates: RequestUpdate[] = [];
    rows.forEach((row, i) => {
      const state = this.#states.get(row.requestId);
      if (state === undefined || state.sequence !== row.sequence) return;
      this.#cache.append(row.sequence, row.tokens);
      state.nComputed += row.tokens.length;
      this.#promptTokens += Math.max(
        0,
        Math.min(state.nComputed, state.request.promptTokens.length) - row.start,
      );
      const { sampled, targets, error } = result.rows[i]!;
      if (targets !== null) state.promptLogprobs.push(...targets);
      const update =
        error === undefined
          ? this.#advance(state, sampled, nowMs)
          : this.#finish(
              state,
              { reason: "error", errorCode: error.code, message: error.message },
              [],
              nowMs,
            );
      if (update !== null) updates.push(update);
    });
    this.#cache.releaseReservations();
    return updates;
  }

  /** Throws when the scheduler and the cache disagree. For tests. */
  checkIntegrity(): void {
    this.#cache.checkIntegrity();
    const live = new Set(this.#cache.liveSequences());
    for (const state of this.#running) {
      if (state.sequence === null || !live.delete(state.sequence))
        throw new Error(`running request ${state.request.id} has no live sequence`);
      const held = this.#cache.tokensOf(state.sequence);
      if (held.length !== state.nComputed || commonPrefixLength(held, state.tokens) !== held.length)
        throw new Error(`the cells of ${state.request.id} do not hold its tokens`);
    }
    if (live.size > 0) throw new Error(`live sequences without a request: ${[...live].join(", ")}`);
    for (const state of this.#waiting)
      if (state.sequence !== null || state.nComputed !== 0)
        throw new Error(`waiting request ${state.request.id} holds cells`);
    if (this.#states.size !== this.#running.length + this.#waiting.length)
      throw new Error("a request is neither waiting nor running");
    for (const list of [this.#waiting, this.#running])
      for (let i = 1; i < list.length; i++)
        if (compareRequests(list[i - 1]!, list[i]!) >= 0) throw new Error("a list is out of serving order");
  }

  /** The running request that is served last and has no row in this step. */
  #lastUnplanned(rows: readonly PlanRow[]): RequestState | null {
    for (let i = this.#running.length - 1; i >= 0; i--) {
      const state = this.#running[i]!;
      if (!rows.some((row) => row.requestId === state.request.id)) return state;
    }
    return null;
  }

  /** Back to the queue, with its tokens; its cells may be evicted, or found again. */
  #preempt(state: RequestState, keepCells = true): void {
    this.#leaveRunning(state, keepCells);
    state.nPreemptions++;
    this.#preemptions++;
    insertInOrder(this.#waiting, state);
  }

  /** A waiting request of a better class takes the place of the worst running ones. Strictly better, so that none swap for ever. */
  #giveWayToPriority(): void {
    const first = this.#waiting[0];
    if (first === undefined || first.request.alone || this.#followsLeader(first)) return;
    for (let last = this.#running.at(-1); last !== undefined; last = this.#running.at(-1)) {
      if (last.request.priority <= first.request.priority) return;
      if (this.#running.length < this.#options.maxNumSeqs && this.#fits(first)) return;
      this.#preempt(last);
    }
  }

  #leaveRunning(state: RequestState, keepCells: boolean): void {
    this.#running.splice(this.#running.indexOf(state), 1);
    this.#cache.close(state.sequence!, keepCells && this.#options.prefixCache);
    state.sequence = null;
    state.nComputed = 0;
    state.sharedWith.clear();
  }

  #admit(schedule: (state: RequestState) => boolean, hasBudget: () => boolean, nowMs: number): void {
    let index = 0;
    while (index < this.#waiting.length && hasBudget() && this.#running.length < this.#options.maxNumSeqs) {
      const state = this.#waiting[index]!;
      if (this.#running.some(mustRunAlone)) return;
      if (state.request.alone && this.#running.length > 0) return;
      if (this.#followsLeader(state)) {
        index++;
        continue;
      }
      if (!this.#fits(state)) return;
      const opened = this.#cache.open(this.#namespaceOf(state), state.tokens, this.#shareLimit(state));
      if (opened === null) return;
      this.#waiting.splice(index, 1);
      state.sequence = opened.sequence;
      state.nComputed = opened.cachedTokens;
      // what was evicted meanwhile is computed, and reported, again
      if (!state.promptLogprobsSent)
        state.promptLogprobs.length = Math.min(state.promptLogprobs.length, opened.cachedTokens);
      insertInOrder(this.#running, state);
      if (!schedule(state)) {
        this.#leaveRunning(state, true);
        insertInOrder(this.#waiting, state);
        return;
      }
      this.#countAdmission(state, opened.cachedTokens, nowMs);
    }
  }

  #countAdmission(state: RequestState, cachedTokens: number, nowMs: number): void {
    if (state.admittedAtMs !== null) return;
    state.admittedAtMs = nowMs;
    state.cachedTokens = Math.min(cachedTokens, state.request.promptTokens.length);
    this.#prefixCacheQueries += state.request.promptTokens.length;
    this.#prefixCacheHits += state.cachedTokens;
  }

  #namespaceOf(state: RequestState): string {
    return this.#options.prefixCache ? state.request.cacheNamespace : `request ${state.arrival}`;
  }

  /** The last token is always computed, for its logits; a prompt whose log-probabilities are wanted is computed from where they end. */
  #shareLimit(state: RequestState): number {
    const limit = state.tokens.length - 1;
    return wantsPromptLogprobs(state) && !state.promptLogprobsSent
      ? Math.min(limit, state.promptLogprobs.length)
      : limit;
  }

  /** Is a running request about to compute a prefix of this one that the cache does not hold yet? */
  #followsLeader(state: RequestState): boolean {
    if (!this.#options.prefixCache || (wantsPromptLogprobs(state) && !state.promptLogprobsSent)) return false;
    let best = 0;
    for (const leader of this.#running) {
      if (leader.nComputed >= leader.tokens.length - 1) continue;
      if (leader.request.cacheNamespace !== state.request.cacheNamespace) continue;
      let shared = state.sharedWith.get(leader.request.id);
      if (shared === undefined) {
        shared = commonPrefixLength(leader.request.promptTokens, state.tokens);
        state.sharedWith.set(leader.request.id, shared);
      }
      best = Math.max(best, shared);
    }
    if (best < SMALLEST_HOLD_BACK_TOKENS) return false;
    const cached = this.#cache.match(state.request.cacheNamespace, state.tokens).length;
    return Math.min(best, state.tokens.length - 1) - cached >= SMALLEST_HOLD_BACK_TOKENS;
  }

  /** Room for the whole of it beside what the running requests still have to compute, so that admission does not preempt. */
  #fits(state: RequestState): boolean {
    if (this.#running.length === 0) return true;
    let outstanding = 0;
    for (const other of this.#running) outstanding += Math.max(1, other.tokens.length - other.nComputed);
    const { liveLength } = this.#cache.match(this.#namespaceOf(state), state.tokens);
    const shared = Math.min(liveLength, this.#shareLimit(state));
    return this.#cache.canGrow(outstanding + state.tokens.length - shared + 1);
  }

  /** One row's sampled token, prompt log-probabilities and end. */
  #advance(state: RequestState, sampled: TokenOutput | null, nowMs: number): RequestUpdate | null {
    const { request } = state;
    const promptDone = state.nComputed >= request.promptTokens.length;
    const promptLogprobs =
      promptDone && wantsPromptLogprobs(state) && !state.promptLogprobsSent
        ? state.promptLogprobs
        : undefined;
    if (promptLogprobs !== undefined) state.promptLogprobsSent = true;
    if (sampled === null) {
      if (promptDone && state.nOutput >= request.maxTokens)
        return this.#finish(state, { reason: "length" }, [], nowMs, promptLogprobs);
      return promptLogprobs === undefined ? null : { id: request.id, tokens: [], promptLogprobs };
    }
    const isFirst = state.firstTokenAtMs === null;
    if (isFirst) state.firstTokenAtMs = nowMs;
    this.#generatedTokens++;
    if (!request.ignoreEos && this.#options.isEndOfGeneration(sampled.token))
      return this.#finish(state, { reason: "stop" }, [], nowMs, promptLogprobs);
    state.tokens.push(sampled.token);
    state.nOutput++;
    if (state.nOutput >= request.maxTokens || state.tokens.length >= this.#options.sequenceTokens)
      return this.#finish(state, { reason: "length" }, [sampled], nowMs, promptLogprobs);
    return {
      id: request.id,
      tokens: [sampled],
      ...(promptLogprobs === undefined ? {} : { promptLogprobs }),
      ...(isFirst ? { timings: timingsOf(state, nowMs) } : {}),
    };
  }

  #finish(
    state: RequestState,
    finish: {
      readonly reason: EngineFinishReason;
      readonly errorCode?: ErrorCode;
      readonly message?: string;
    },
    tokens: readonly TokenOutput[],
    nowMs: number,
    promptLogprobs?: readonly TokenOutput[],
  ): RequestUpdate {
    if (state.sequence !== null) this.#leaveRunning(state, true);
    else this.#waiting.splice(this.#waiting.indexOf(state), 1);
    this.#states.delete(state.request.id);
    for (const other of this.#waiting) other.sharedWith.delete(state.request.id);
    return {
      id: state.request.id,
      tokens,
      ...(promptLogprobs === undefined ? {} : { promptLogprobs }),
      finish,
      timings: timingsOf(state, nowMs),
    };
  }

  /** The library has less room than the books say: give up idle cells, then the request served last. */
  #makeRoom(nowMs: number): RequestUpdate[] {
    if (this.#cache.evictIdle() > 0) return [];
    const last = this.#running.at(-1);
    if (last === undefined) return [];
    if (this.#running.length > 1) {
      this.#preempt(last, false);
      return [];
    }
    const message = `the KV cache has no room for a sequence of ${last.tokens.length} tokens`;
    return [this.#finish(last, { reason: "error", errorCode: "out_of_memory", message }, [], nowMs)];
  }
}

function mustRunAlone({ request, nOutput }: RequestState): boolean {
  return request.alone && nOutput - request.outputTokens.length < ALONE_TOKENS;
}
