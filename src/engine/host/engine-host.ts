/** The engine of one model over its processes: requests are held here, so that no crash of a process loses one. */
import { InkstoneError } from "../../errors.ts";
import type { EngineClient, EngineState, TokenizeOptions } from "../client.ts";
import type {
  EngineConfig,
  EngineInfo,
  EngineRequest,
  EngineStats,
  RequestUpdate,
  TokenId,
  VocabularyData,
} from "../types.ts";
import { EngineSupervisor } from "./engine-supervisor.ts";
import type { EngineFailure } from "./engine-supervisor.ts";
import type { HostLogger } from "./managed-child.ts";
import type { ScriptedFaults } from "./messages.ts";
import { RequestLedger } from "./request-ledger.ts";
import { FinishRate } from "./retry-after.ts";
import { StatsTotal } from "./stats-total.ts";
import { TokenizerLanes } from "./tokenizer-lanes.ts";

export type { EngineFailure } from "./engine-supervisor.ts";
export type { HostLogger } from "./managed-child.ts";
export type { ScriptedFaults } from "./messages.ts";

export interface EngineHostOptions {
  /** Most requests that wait beside the `maxNumSeqs` that may run. */
  readonly maxQueue: number;
  /** An engine with work that says nothing for as long is killed and started again. */
  readonly stepTimeoutMs: number;
  /** Default: 600,000. */
  readonly loadTimeoutMs?: number;
  /** Default: 10,000. */
  readonly tokenizeTimeoutMs?: number;
  /** Default: 1,000. */
  readonly grammarTimeoutMs?: number;
  readonly logger: HostLogger;
  /** Monotonic clock in milliseconds. */
  readonly now?: () => number;
  readonly onCrash?: (failure: EngineFailure) => void;
  /** Only for `executor: "scripted"`. */
  readonly scripted?: ScriptedFaults;
}

/** An `EngineClient` whose processes can be named. */
export interface EngineHost extends EngineClient {
  /** null while none runs. */
  readonly enginePid: number | null;
  readonly tokenizerPids: readonly number[];
}

/** How long a process may take to end by itself. */
const stopGraceMs = 3_000;

/**
 * Starts the processes of one model and resolves when they have loaded it. Rejects with the error of the load, such as
 * `model_load_failed`, `out_of_memory` or `native_not_found`; no process is left then.
 */
export async function startEngineHost(config: EngineConfig, options: EngineHostOptions): Promise<EngineHost> {
  const host = new ProcessHost(config, options);
  await host.start();
  return host;
}

class ProcessHost implements EngineHost {
  readonly modelKey: string;
  readonly #options: EngineHostOptions;
  readonly #now: () => number;
  readonly #supervisor: EngineSupervisor;
  readonly #tokenizers: TokenizerLanes;
  readonly #ledger: RequestLedger;
  readonly #stats = new StatsTotal();
  readonly #finishRate = new FinishRate();
  #info: EngineInfo | null = null;
  #vocabulary: VocabularyData | null = null;
  #closing: Promise<void> | null = null;
  #onEmpty: (() => void) | null = null;

  constructor(config: EngineConfig, options: EngineHostOptions) {
    const { logger, loadTimeoutMs = 600_000, scripted = {} } = options;
    this.modelKey = config.modelKey;
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#ledger = new RequestLedger({
      now: this.#now,
      onFinish: () => this.#onFinish(),
      onListenerError: (requestId, error) => {
        logger.error({ model: config.modelKey, requestId, err: error }, "the receiver of updates failed");
        this.cancel(requestId);
      },
    });
    this.#supervisor = new EngineSupervisor({
      config,
      scripted,
      stepTimeoutMs: options.stepTimeoutMs,
      loadTimeoutMs,
      logger,
      now: this.#now,
      hasWork: () => this.#ledger.size > 0,
      runningIds: () => this.#ledger.runningIds,
      onReady: (info) => this.#onReady(info),
      onRunning: (handles) => this.#ledger.markRunning(handles),
      onStep: (step) => {
        this.#stats.update(step.stats);
        this.#ledger.applyStep(step);
      },
      onDeath: () => this.#onDeath(),
      onFailure: (failure) => this.#onFailure(failure),
    });
    this.#tokenizers = new TokenizerLanes({
      config,
      scripted,
      tokenizeTimeoutMs: options.tokenizeTimeoutMs ?? 10_000,
      grammarTimeoutMs: options.grammarTimeoutMs ?? 1_000,
      loadTimeoutMs,
      logger,
    });
  }

  async start(): Promise<void> {
    try {
      const [vocabulary] = await Promise.all([this.#tokenizers.start(), this.#supervisor.start()]);
      this.#vocabulary = vocabulary;
    } catch (error) {
      await this.#stopProcesses(0);
      throw error;
    }
  }

  get info(): EngineInfo {
    return required(this.#info);
  }

  get vocabulary(): VocabularyData {
    return required(this.#vocabulary);
  }

  get state(): EngineState {
    const { state } = this.#supervisor;
    return state !== "stopped" && this.#closing !== null ? "stopping" : state;
  }

  get stats(): EngineStats {
    return this.#stats.read(this.#ledger.size, this.#supervisor.state === "ready");
  }

  get restarts(): number {
    return this.#supervisor.restarts;
  }

  get enginePid(): number | null {
    return this.#supervisor.pid;
  }

  get tokenizerPids(): readonly number[] {
    return this.#tokenizers.pids;
  }

  async tokenize(text: string, options: TokenizeOptions): Promise<TokenId[]> {
    return this.#tokenizers.tokenize(text, options);
  }

  async checkGrammar(grammar: string): Promise<void> {
    return this.#tokenizers.checkGrammar(grammar);
  }

  submit(request: EngineRequest, onUpdate: (update: RequestUpdate) => void): void {
    if (this.#closing !== null) throw new InkstoneError("shutting_down", "the server is stopping");
    if (this.#supervisor.state === "failed") throw crashLoopError(this.modelKey);
    const waiting = this.#ledger.size - this.info.maxNumSeqs;
    if (waiting >= this.#options.maxQueue) {
      throw new InkstoneError("queue_full", `${waiting} requests already wait for the engine`, {
        retryAfterS: this.#finishRate.retryAfterS(Math.max(1, waiting), this.#now()),
      });
    }
    const wasIdle = this.#ledger.size === 0;
    const submission = this.#ledger.add(request, onUpdate);
    this.#supervisor.send({ type: "submit", ...submission });
    this.#supervisor.workAdded(wasIdle);
  }

  cancel(requestId: string): void {
    if (!this.#ledger.cancel(requestId)) return;
    if (this.#supervisor.state === "ready") this.#supervisor.send({ type: "cancel", id: requestId });
    // The receiver is not called from inside its own call.
    else queueMicrotask(() => this.#ledger.flushCancelled());
  }

  async close(drainMs: number): Promise<void> {
    this.#closing ??= this.#close(drainMs);
    return this.#closing;
  }

  async #close(drainMs: number): Promise<void> {
    if (this.#ledger.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, drainMs);
        this.#onEmpty = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#ledger.endAll("shutting_down", "the server stopped before the request was complete");
    await this.#stopProcesses(stopGraceMs);
  }

  async #stopProcesses(graceMs: number): Promise<void> {
    await Promise.all([this.#supervisor.stop(graceMs), this.#tokenizers.stop(graceMs)]);
  }

  #onReady(info: EngineInfo): void {
    this.#info = info;
    const submissions = this.#ledger.resume();
    for (const submission of submissions) this.#supervisor.send({ type: "submit", ...submission });
    if (submissions.length > 0) this.#supervisor.workAdded(true);
  }

  #onDeath(): boolean {
    this.#stats.processEnded();
    return this.#ledger.crash() > 0;
  }

  #onFailure(failure: EngineFailure): void {
    this.#options.onCrash?.(failure);
    if (failure.state !== "failed") return;
    const { code, message } = crashLoopError(this.modelKey);
    this.#ledger.endAll(code, message);
  }

  #onFinish(): void {
    this.#finishRate.finished(this.#now());
    if (this.#ledger.size === 0) this.#onEmpty?.();
  }
}

function crashLoopError(modelKey: string): InkstoneError {
  return new InkstoneError("engine_crash_loop", `the engine of ${modelKey} keeps failing and is not running`);
}

/** `start` resolves only when both are there, and nobody has the host before. */
function required<T>(value: T | null): T {
  if (value === null) throw new InkstoneError("engine_unavailable", "the engine has not started");
  return value;
}
