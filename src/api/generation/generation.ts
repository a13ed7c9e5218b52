/** Runs one API request: one or more requests to the engine, whose tokens become text. */
import { createOutputStream } from "../../chat/output-stream.ts";
import type { OutputDelta, OutputStream, OutputStreamOptions } from "../../chat/output-stream.ts";
import type {
  EngineRequest,
  RequestTimings,
  RequestUpdate,
  TokenId,
  TokenOutput,
} from "../../engine/types.ts";
import { InkstoneError } from "../../errors.ts";
import type { FinishedReason, ModelMetrics } from "../../observe/metrics.ts";
import type { ServedModel } from "../deps.ts";
import type { GenerationTotals } from "./usage.ts";

/** One choice of the answer: what the engine is asked, and how its tokens are read. */
export interface ChoicePlan {
  readonly request: EngineRequest;
  readonly output: OutputStreamOptions;
  /** Tokens that end the choice and are not shown. */
  readonly stopTokenIds: ReadonlySet<TokenId>;
  /** Choices of the same prompt have the same number: its tokens count once. */
  readonly promptIndex: number;
  /**
   * The log-probabilities of the prompt, which an earlier choice of the same prompt computes, are this choice's too: its own text
   * waits for them.
   */
  readonly sharesPromptLogprobs: boolean;
}

/** `finish_reason` of an answer. */
export type FinishReason = "stop" | "length";

/** Called in the order of the engine's updates. After `onEnd` and after `cancel` nothing is called any more. */
export interface GenerationHandlers {
  /** Text, or tokens whose text is still held back. `tokens` are those that the delta used. */
  onDelta(choice: number, delta: OutputDelta, tokens: readonly TokenOutput[]): void;
  /** Log-probabilities of the prompt, before the choice's first delta. */
  onPromptLogprobs(choice: number, outputs: readonly TokenOutput[]): void;
  onFinish(choice: number, reason: FinishReason): void;
  /** Once, when all choices have finished (null) or the first one failed. */
  onEnd(error: InkstoneError | null): void;
}

export interface GenerationOptions {
  readonly model: ServedModel;
  readonly choices: readonly ChoicePlan[];
  readonly metrics: ModelMetrics;
  /** Milliseconds. */
  readonly now: () => number;
  /** When the request arrived, by `now`. */
  readonly arrivedMs: number;
}

export interface Generation {
  /** Submits all choices, once. Throws what `EngineClient.submit` throws; then none of them runs. */
  start(): void;
  /** Ends all choices within one step. For a client that has gone away. */
  cancel(): void;
  /** So far. */
  totals(): GenerationTotals;
}

interface ChoiceState {
  readonly plan: ChoicePlan;
  readonly stream: OutputStream;
  nTokens: number;
  firstTokenMs: number | null;
  lastTokenMs: number;
  timings: RequestTimings | null;
  isEnded: boolean;
  /** Updates that wait for the prompt's log-probabilities; null: nothing has to wait. */
  held: RequestUpdate[] | null;
}

/** A generation that is not started yet. */
export function createGeneration(options: GenerationOptions, handlers: GenerationHandlers): Generation {
  const { model, metrics, now, arrivedMs } = options;
  const { client } = model;
  const states: ChoiceState[] = options.choices.map((plan) => ({
    plan,
    stream: createOutputStream(client.vocabulary, plan.output),
    nTokens: 0,
    firstTokenMs: null,
    lastTokenMs: 0,
    timings: null,
    isEnded: false,
    held: plan.sharesPromptLogprobs ? [] : null,
  }));
  let nRunning = states.length;
  let nHeld = options.choices.filter((plan) => plan.sharesPromptLogprobs).length;

  const end = (state: ChoiceState, reason: FinishedReason): void => {
    state.isEnded = true;
    nRunning--;
    const { timings } = state;
    metrics.finished({
      reason,
      promptTokens: state.plan.request.promptTokens.length,
      generatedTokens: state.nTokens,
      e2eSeconds: (now() - arrivedMs) / 1000,
      ...(timings && {
        queueSeconds: timings.queueMs / 1000,
        prefillSeconds: timings.prefillMs / 1000,
        decodeSeconds: timings.decodeMs / 1000,
      }),
    });
    if (nRunning === 0) observePrompts(states, metrics);
  };

  const cancelAll = (reason: FinishedReason): void => {
    for (const state of states) {
      if (state.isEnded) continue;
      end(state, reason);
      client.cancel(state.plan.request.id);
    }
  };

  const finish = (state: ChoiceState, index: number, reason: FinishReason): void => {
    end(state, reason);
    handlers.onFinish(index, reason);
    if (nRunning === 0) handlers.onEnd(null);
  };

  const observeTokens = (state: ChoiceState, nTokens: number): void => {
    const nowMs = now();
    if (state.firstTokenMs === null) {
      state.firstTokenMs = nowMs;
      metrics.firstToken((nowMs - arrivedMs) / 1000);
    } else {
      metrics.interToken((nowMs - state.lastTokenMs) / 1000);
    }
    state.lastTokenMs = nowMs;
    state.nTokens += nTokens;
  };

  /** True when a stop string or token ended the choice. */
  const takeTokens = (state: ChoiceState, index: number, tokens: readonly TokenOutput[]): boolean => {
    const { stopTokenIds } = state.plan;
    const stopAt =
      stopTokenIds.size === 0 ? -1 : tokens.findIndex((output) => stopTokenIds.has(output.token));
    const shown = stopAt === -1 ? tokens : tokens.slice(0, stopAt);
    const delta = state.stream.push(shown.map((output) => output.token));
    observeTokens(state, delta.stopped === null && stopAt !== -1 ? stopAt + 1 : delta.usedTokens);
    handlers.onDelta(
      index,
      delta,
      delta.usedTokens === shown.length ? shown : shown.slice(0, delta.usedTokens),
    );
    return stopAt !== -1 || delta.stopped !== null;
  };

  const fail = (state: ChoiceState, error: InkstoneError): void => {
    if (!state.isEnded) end(state, "error");
    client.cancel(state.plan.request.id);
    cancelAll("error");
    handlers.onEnd(error);
  };

  const handleUpdate = (state: ChoiceState, index: number, update: RequestUpdate): void => {
    if (update.timings !== undefined) state.timings = update.timings;
    if (update.promptLogprobs !== undefined) handlers.onPromptLogprobs(index, update.promptLogprobs);
    if (update.tokens.length > 0 && takeTokens(state, index, update.tokens)) {
      // The engine's own times of the end come too late for this answer.
      if (state.timings !== null && update.finish === undefined) {
        const decodeMs = Math.max(0, state.lastTokenMs - (state.firstTokenMs ?? state.lastTokenMs));
        state.timings = { ...state.timings, decodeMs };
      }
      flush(state, index);
      finish(state, index, "stop");
      client.cancel(state.plan.request.id);
      return;
    }
    if (update.finish === undefined) return;
    const { reason, errorCode, message } = update.finish;
    if (reason === "stop" || reason === "length") {
      finish(state, index, flush(state, index) ? "stop" : reason);
      return;
    }
    fail(
      state,
      reason === "cancelled"
        ? new InkstoneError("shutting_down", "the engine ended the request")
        : new InkstoneError(errorCode ?? "internal_error", message ?? "the engine failed on this request"),
    );
  };

  // The engine's client calls this from its own loop, which must not see the errors of one request.
  const onUpdate = (state: ChoiceState, index: number, update: RequestUpdate): void => {
    if (state.isEnded) return;
    if (state.held !== null && update.finish?.reason !== "error") {
      state.held.push(update);
      return;
    }
    try {
      handleUpdate(state, index, update);
      if (nHeld > 0 && (update.promptLogprobs !== undefined || state.isEnded)) {
        sharePromptLogprobs(state, update.promptLogprobs);
      }
    } catch (error) {
      const message = "the engine's answer could not be read";
      fail(state, new InkstoneError("internal_error", message, { cause: error }));
    }
  };

  /** Lets the other choices of the prompt go on. */
  const sharePromptLogprobs = ({ plan }: ChoiceState, outputs: readonly TokenOutput[] | undefined): void => {
    for (const [index, other] of states.entries()) {
      const { held } = other;
      if (held === null || other.plan.promptIndex !== plan.promptIndex) continue;
      other.held = null;
      nHeld--;
      if (other.isEnded) continue;
      if (outputs !== undefined) handlers.onPromptLogprobs(index, outputs);
      for (const update of held) onUpdate(other, index, update);
    }
  };

  /** Gives out what was held back; true when a stop string was in it. */
  const flush = (state: ChoiceState, index: number): boolean => {
    const rest = state.stream.finish();
    if (rest.content !== "" || rest.reasoning !== "") handlers.onDelta(index, rest, []);
    return rest.stopped !== null;
  };

  const start = (): void => {
    try {
      for (const [index, state] of states.entries()) {
        client.submit(state.plan.request, (update) => onUpdate(state, index, update));
      }
    } catch (error) {
      for (const state of states) {
        state.isEnded = true;
        client.cancel(state.plan.request.id);
      }
      throw error;
    }
  };

  return {
    start,
    cancel: () => cancelAll("abort"),
    totals: () => toTotals(states),
  };
}

function observePrompts(states: readonly ChoiceState[], metrics: ModelMetrics): void {
  const prompts = new Map<number, { n: number; maxTokens: number; mostGeneratedTokens: number }>();
  for (const { plan, nTokens } of states) {
    const prompt = prompts.get(plan.promptIndex) ?? { n: 0, maxTokens: 0, mostGeneratedTokens: 0 };
    prompts.set(plan.promptIndex, {
      n: prompt.n + 1,
      maxTokens: Math.max(prompt.maxTokens, plan.request.maxTokens),
      mostGeneratedTokens: Math.max(prompt.mostGeneratedTokens, nTokens),
    });
  }
  for (const prompt of prompts.values()) metrics.promptFinished(prompt);
}

function toTotals(states: readonly ChoiceState[]): GenerationTotals {
  const prompts = new Map<number, ChoiceState>();
  let completionTokens = 0;
  let timings: RequestTimings | null = null;
  for (const state of states) {
    completionTokens += state.nTokens;
    if (!prompts.has(state.plan.promptIndex)) prompts.set(state.plan.promptIndex, state);
    if (state.timings !== null && (timings === null || state.timings.decodeMs > timings.decodeMs)) {
      timings = state.timings;
    }
  }
  let promptTokens = 0;
  let cachedTokens = 0;
  for (const { plan, timings: own } of prompts.values()) {
    promptTokens += plan.request.promptTokens.length;
    cachedTokens += own?.cachedTokens ?? 0;
  }
  return { promptTokens, cachedTokens, completionTokens, timings };
}
