/** The engine's process between its messages: step after step while there is work, one message out for each. */
import { toInkstoneError } from "../../errors.ts";
import type { EngineRequest, EngineStats, RequestUpdate } from "../types.ts";
import { packStats } from "./messages.ts";
import type { StepMessage } from "./messages.ts";

/** What the loop drives: scheduler, cache and executor behind one call. */
export interface SteppedEngine {
  submit(request: EngineRequest): void;
  cancel(requestId: string): void;
  step(): { readonly updates: readonly RequestUpdate[]; readonly idle: boolean; readonly waitMs: number };
  readonly stats: EngineStats;
}

export interface EngineLoopOptions {
  readonly engine: SteppedEngine;
  post(message: StepMessage): void;
  /** Messages that the parent has not taken yet. */
  backlog(): number;
  /** An error of the engine that no single request is to blame for. The loop stands still then. */
  onFatal(error: unknown): void;
}

/** A parent that takes no messages holds the engine up here, so that they do not pile up in memory. */
const maxBacklog = 256;
const backlogPollMs = 5;

export class EngineLoop {
  readonly #options: EngineLoopOptions;
  /** Handles of the requests that have not ended. */
  readonly handles = new Map<string, number>();
  #cancelNext: (() => void) | null = null;
  #stopped = false;
  #postedSteps = -1;
  #postedLoad = -1;

  constructor(options: EngineLoopOptions) {
    this.#options = options;
  }

  /** Gives a request to the engine. One that it refuses ends at once with its error; the others go on. */
  submit(handle: number, request: EngineRequest): void {
    this.handles.set(request.id, handle);
    try {
      this.#options.engine.submit(request);
    } catch (error) {
      const { code: errorCode, message } = toInkstoneError(error);
      this.#post([{ id: request.id, tokens: [], finish: { reason: "error", errorCode, message } }]);
      return;
    }
    this.#wake();
  }

  cancel(requestId: string): void {
    if (!this.handles.has(requestId)) return;
    this.#options.engine.cancel(requestId);
    this.#wake();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelNext?.();
    this.#cancelNext = null;
  }

  /** Steps soon, also when the engine wanted to wait: what just came may be what it waits for. */
  #wake(): void {
    if (this.#stopped) return;
    this.#cancelNext?.();
    this.#soon();
  }

  /** Between two steps the process reads what the parent sent. */
  #soon(): void {
    const immediate = setImmediate(() => this.#step());
    this.#cancelNext = () => clearImmediate(immediate);
  }

  #later(delayMs: number): void {
    const timer = setTimeout(() => this.#step(), delayMs);
    this.#cancelNext = () => clearTimeout(timer);
  }

  #step(): void {
    this.#cancelNext = null;
    if (this.#options.backlog() > maxBacklog) {
      this.#later(backlogPollMs);
      return;
    }
    const { engine, onFatal } = this.#options;
    try {
      const { updates, idle, waitMs } = engine.step();
      this.#post(updates);
      if (idle) return;
      if (waitMs > 0) this.#later(waitMs);
      else this.#soon();
    } catch (error) {
      this.stop();
      onFatal(error);
    }
  }

  /** Tells the parent unless nothing happened at all. */
  #post(updates: readonly RequestUpdate[]): void {
    const { stats } = this.#options.engine;
    const load = stats.running + stats.waiting;
    if (updates.length === 0 && stats.steps === this.#postedSteps && load === this.#postedLoad) return;
    this.#postedSteps = stats.steps;
    this.#postedLoad = load;
    const plain: number[] = [];
    const others: RequestUpdate[] = [];
    for (const update of updates) {
      const handle = this.handles.get(update.id);
      const token = plainToken(update);
      if (handle !== undefined && token !== null) plain.push(handle, token);
      else others.push(update);
      if (update.finish !== undefined) this.handles.delete(update.id);
    }
    this.#options.post({ type: "step", plain, updates: others, stats: packStats(stats) });
  }
}

/** The token of an update that consists of it alone; null for any other. */
function plainToken({ tokens, promptLogprobs, finish, timings }: RequestUpdate): number | null {
  const only = tokens.length === 1 ? tokens[0] : undefined;
  if (only === undefined || only.logprob !== undefined || only.top !== undefined) return null;
  if (promptLogprobs !== undefined || finish !== undefined || timings !== undefined) return null;
  return only.token;
}
