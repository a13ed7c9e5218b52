/**
 * Every unfinished request of one engine with all tokens that it produced. The engine process may die at any time: what
 * stands here is enough to go on. No processes, no timers.
 */
import { InkstoneError } from "../../errors.ts";
import type { ErrorCode } from "../../errors.ts";
import type { EngineRequest, RequestTimings, RequestUpdate, TokenId } from "../types.ts";
import { judgeRequest } from "./crash-policy.ts";
import type { StepMessage } from "./messages.ts";

/** After so many tokens from one engine a request is no longer under suspicion. */
const harmlessTokens = 16;

interface Entry {
  readonly handle: number;
  readonly request: EngineRequest;
  readonly onUpdate: (update: RequestUpdate) => void;
  /** All tokens so far, those of earlier engines included. */
  readonly output: TokenId[];
  /** Crashes in which it was running, since it last proved harmless. */
  crashes: number;
  /** How many of `output` the engine was given when it took the request. */
  outputAtStart: number;
  readonly submittedAtMs: number;
  /** It waited for a new engine. */
  held: boolean;
  /** New engines that continued what another one had begun. */
  resumes: number;
  started: boolean;
  cancelled: boolean;
  promptLogprobsSent: boolean;
  firstTimings: RequestTimings | null;
  firstTokenAtMs: number;
}

/** A request as it is given to an engine. */
export interface Submission {
  readonly handle: number;
  readonly request: EngineRequest;
}

export interface RequestLedgerOptions {
  /** Monotonic clock. */
  now(): number;
  /** A request ended, for whatever reason. */
  onFinish(): void;
  /** The receiver of updates threw; the request is to be cancelled. */
  onListenerError(requestId: string, error: unknown): void;
}

export class RequestLedger {
  readonly #options: RequestLedgerOptions;
  readonly #byId = new Map<string, Entry>();
  readonly #byHandle = new Map<number, Entry>();
  #running: readonly number[] = [];
  #nextHandle = 1;

  constructor(options: RequestLedgerOptions) {
    this.#options = options;
  }

  /** Unfinished requests. */
  get size(): number {
    return this.#byId.size;
  }

  /** Ids of the requests that the engine's newest native call computes. */
  get runningIds(): string[] {
    return this.#running.flatMap((handle) => this.#byHandle.get(handle)?.request.id ?? []);
  }

  /** Notes a request. Throws `internal_error` when its id is in use. */
  add(request: EngineRequest, onUpdate: (update: RequestUpdate) => void): Submission {
    if (this.#byId.has(request.id)) {
      throw new InkstoneError("internal_error", `request ${request.id} was submitted twice`);
    }
    const entry: Entry = {
      handle: this.#nextHandle,
      request,
      onUpdate,
      output: [...request.outputTokens],
      crashes: 0,
      outputAtStart: request.outputTokens.length,
      submittedAtMs: this.#options.now(),
      held: false,
      resumes: 0,
      started: false,
      cancelled: false,
      promptLogprobsSent: false,
      firstTimings: null,
      firstTokenAtMs: 0,
    };
    this.#nextHandle += 1;
    this.#byId.set(request.id, entry);
    this.#byHandle.set(entry.handle, entry);
    return { handle: entry.handle, request };
  }

  /** The engine is about to compute these requests, and no others. */
  markRunning(handles: readonly number[]): void {
    this.#running = handles;
    for (const handle of handles) {
      const entry = this.#byHandle.get(handle);
      if (entry !== undefined) entry.started = true;
    }
  }

  /** Passes on what a step brought. Updates of requests that have ended are dropped. */
  applyStep(step: StepMessage): void {
    for (let index = 0; index + 1 < step.plain.length; index += 2) {
      const entry = this.#byHandle.get(step.plain[index] as number);
      const token = step.plain[index + 1] as TokenId;
      if (entry === undefined) continue;
      entry.output.push(token);
      this.#emit(entry, { id: entry.request.id, tokens: [{ token }] });
    }
    for (const update of step.updates) {
      const entry = this.#byId.get(update.id);
      if (entry === undefined) continue;
      for (const { token } of update.tokens) entry.output.push(token);
      if (update.promptLogprobs !== undefined) entry.promptLogprobsSent = true;
      this.#emit(entry, { ...update, timings: this.#timings(entry, update) });
    }
  }

  /** Notes that a request is no longer wanted, so that it does not outlive its engine. False when it is unknown. */
  cancel(requestId: string): boolean {
    const entry = this.#byId.get(requestId);
    if (entry === undefined) return false;
    entry.cancelled = true;
    return true;
  }

  /** The engine is gone. Ends what was cancelled, and what was running in too many crashes; returns how many of these. */
  crash(): number {
    const running = new Set(this.#running);
    this.#running = [];
    let ended = 0;
    for (const entry of [...this.#byHandle.values()]) {
      if (running.has(entry.handle)) entry.crashes += 1;
      if (entry.cancelled) this.#emit(entry, cancelledUpdate(entry));
      else if (judgeRequest(entry.crashes) === "end") {
        ended += 1;
        const message = `the engine failed ${entry.crashes} times while it ran this request`;
        this.#emit(entry, errorUpdate(entry, "engine_crashed", message));
      }
    }
    return ended;
  }

  /** Ends all cancelled requests here: there is no engine that would. */
  flushCancelled(): void {
    for (const entry of [...this.#byHandle.values()]) {
      if (entry.cancelled) this.#emit(entry, cancelledUpdate(entry));
    }
  }

  /** All unfinished requests for a new engine, those that ran before first. */
  resume(): Submission[] {
    const entries = [...this.#byHandle.values()];
    const ordered = [
      ...entries.filter((entry) => entry.started),
      ...entries.filter((entry) => !entry.started),
    ];
    return ordered.map((entry) => {
      entry.held = true;
      entry.outputAtStart = entry.output.length;
      if (entry.started) entry.resumes += 1;
      const request: EngineRequest = {
        ...entry.request,
        outputTokens: entry.output,
        promptLogprobs: entry.promptLogprobsSent ? -1 : entry.request.promptLogprobs,
        alone: entry.request.alone || judgeRequest(entry.crashes) === "alone",
      };
      return { handle: entry.handle, request };
    });
  }

  /** Ends every request with an error. */
  endAll(code: ErrorCode, message: string): void {
    this.#running = [];
    for (const entry of [...this.#byHandle.values()]) {
      this.#emit(entry, entry.cancelled ? cancelledUpdate(entry) : errorUpdate(entry, code, message));
    }
  }

  /** An engine that continues a request measures only its own part; the client is told of the whole. */
  #timings(entry: Entry, update: RequestUpdate): RequestTimings | undefined {
    const { timings } = update;
    if (timings === undefined) return undefined;
    const first = entry.firstTimings;
    if (first === null) {
      const nowMs = this.#options.now();
      const waitedMs = entry.held ? nowMs - entry.submittedAtMs - timings.prefillMs - timings.decodeMs : 0;
      entry.firstTimings = {
        ...timings,
        queueMs: Math.max(timings.queueMs, waitedMs),
        preemptions: timings.preemptions + entry.resumes,
      };
      entry.firstTokenAtMs = nowMs;
      return entry.firstTimings;
    }
    if (!entry.held) return timings;
    if (update.finish === undefined) return undefined;
    return {
      queueMs: first.queueMs,
      prefillMs: first.prefillMs,
      decodeMs: this.#options.now() - entry.firstTokenAtMs,
      cachedTokens: first.cachedTokens,
      preemptions: timings.preemptions + entry.resumes,
    };
  }

  #emit(entry: Entry, update: RequestUpdate): void {
    if (entry.crashes > 1 && entry.output.length - entry.outputAtStart >= harmlessTokens) entry.crashes = 1;
    if (update.finish !== undefined) {
      this.#byId.delete(entry.request.id);
      this.#byHandle.delete(entry.handle);
    }
    try {
      entry.onUpdate(update);
    } catch (error) {
      this.#options.onListenerError(entry.request.id, error);
    }
    if (update.finish !== undefined) this.#options.onFinish();
  }
}

function cancelledUpdate(entry: Entry): RequestUpdate {
  return { id: entry.request.id, tokens: [], finish: { reason: "cancelled" } };
}

function errorUpdate(entry: Entry, errorCode: ErrorCode, message: string): RequestUpdate {
  return { id: entry.request.id, tokens: [], finish: { reason: "error", errorCode, message } };
}
