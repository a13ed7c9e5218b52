/** What the scheduler knows of one request. Only the scheduler changes it. */
import type { EngineRequest, RequestTimings, SequenceId, TokenId, TokenOutput } from "../types.ts";

export interface RequestState {
  readonly request: EngineRequest;
  /** Order of arrival; breaks ties of priority. */
  readonly arrival: number;
  /** Prompt and output. */
  readonly tokens: TokenId[];
  nOutput: number;
  /** Leading tokens that are in the KV cache; 0 while waiting. */
  nComputed: number;
  sequence: SequenceId | null;
  /** Log-probabilities of the prompt so far, where they were asked for. */
  readonly promptLogprobs: TokenOutput[];
  promptLogprobsSent: boolean;
  nPreemptions: number;
  cachedTokens: number | null;
  readonly arrivedAtMs: number;
  admittedAtMs: number | null;
  firstTokenAtMs: number | null;
  /** Shared prefix with a running leader, by the leader's id: prompts do not change, so it is computed once. */
  readonly sharedWith: Map<string, number>;
}

export function createRequestState(request: EngineRequest, arrival: number, nowMs: number): RequestState {
  return {
    request,
    arrival,
    tokens: [...request.promptTokens, ...request.outputTokens],
    nOutput: request.outputTokens.length,
    nComputed: 0,
    sequence: null,
    promptLogprobs: [],
    promptLogprobsSent: false,
    nPreemptions: 0,
    cachedTokens: null,
    arrivedAtMs: nowMs,
    admittedAtMs: null,
    firstTokenAtMs: null,
    sharedWith: new Map(),
  };
}

/** Served first: the lower priority number, then the earlier arrival. */
export function compareRequests(a: RequestState, b: RequestState): number {
  return a.request.priority - b.request.priority || a.arrival - b.arrival;
}

export function wantsPromptLogprobs(state: RequestState): boolean {
  return state.request.promptLogprobs >= 0;
}

/** Puts a request into a list that is kept in serving order. */
export function insertInOrder(list: RequestState[], state: RequestState): void {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareRequests(list[middle]!, state) <= 0) low = middle + 1;
    else high = middle;
  }
  list.splice(low, 0, state);
}

export function timingsOf(state: RequestState, nowMs: number): RequestTimings {
  const admitted = state.admittedAtMs ?? nowMs;
  const first = state.firstTokenAtMs ?? nowMs;
  return {
    queueMs: admitted - state.arrivedAtMs,
    prefillMs: first - admitted,
    decodeMs: nowMs - first,
    cachedTokens: state.cachedTokens ?? 0,
    preemptions: state.nPreemptions,
  };
}
