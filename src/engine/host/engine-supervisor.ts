/** Keeps one engine process running: starts it, watches it, and starts it again when it dies. Knows no requests. */
import { InkstoneError } from "../../errors.ts";
import type { EngineConfig, EngineInfo } from "../types.ts";
import { CrashPolicy } from "./crash-policy.ts";
import { startChild } from "./managed-child.ts";
import type { ChildExit, HostLogger, ManagedChild } from "./managed-child.ts";
import { fromWireError, statsKeys } from "./messages.ts";
import type { FromEngine, ScriptedFaults, StepMessage, ToEngine } from "./messages.ts";
import { StepDeadline } from "./step-deadline.ts";

/** "failed": a crash loop; it is still tried now and then. */
export type SupervisorState = "starting" | "ready" | "restarting" | "failed" | "stopped";

/** The engine process died, hung or did not load again. */
export interface EngineFailure {
  readonly reason: string;
  /** Ids of the requests that were being computed. */
  readonly running: readonly string[];
  /** "failed": a crash loop. */
  readonly state: "restarting" | "failed";
}

export interface EngineSupervisorOptions {
  readonly config: EngineConfig;
  readonly scripted: ScriptedFaults;
  readonly stepTimeoutMs: number;
  readonly loadTimeoutMs: number;
  readonly logger: HostLogger;
  now(): number;
  /** Are there requests that the engine should be working on? */
  hasWork(): boolean;
  /** Ids of the requests that are being computed, for the log. */
  runningIds(): readonly string[];
  /** A process is ready for requests; called for each one, the first included. */
  onReady(info: EngineInfo): void;
  onRunning(handles: readonly number[]): void;
  onStep(step: StepMessage): void;
  /** The process is gone. Returns true when the cause was removed, so that this failure is no part of a loop. */
  onDeath(): boolean;
  /** Follows on `onDeath`, when it is known how it goes on. */
  onFailure(failure: EngineFailure): void;
}

/** A large model on few cores takes this long for a prompt token, at the worst: its step is no hang. */
const promptTokenMs = 1_000;

const stepsIndex = statsKeys.indexOf("steps");

/** One process, from its start to its end. */
interface EngineRun {
  readonly child: ManagedChild<ToEngine>;
  readonly deadline: StepDeadline;
  loadTimer: NodeJS.Timeout | null;
  readyAtMs: number | null;
  /** Why it is being ended, or said it would end. */
  cause: InkstoneError | null;
}

export class EngineSupervisor {
  readonly #options: EngineSupervisorOptions;
  readonly #policy = new CrashPolicy();
  #state: SupervisorState = "starting";
  #run: EngineRun | null = null;
  #restartTimer: NodeJS.Timeout | null = null;
  #restarts = 0;
  #firstStart: { resolve: () => void; reject: (error: InkstoneError) => void } | null = null;

  constructor(options: EngineSupervisorOptions) {
    this.#options = options;
  }

  get state(): SupervisorState {
    return this.#state;
  }

  get restarts(): number {
    return this.#restarts;
  }

  get pid(): number | null {
    return this.#run?.child.pid ?? null;
  }

  /** Starts the first process. Rejects with its error when it does not load; nothing runs then. */
  async start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#firstStart = { resolve, reject };
      this.#spawn();
    });
  }

  /** Sends to the engine if it is ready; otherwise the message is dropped. */
  send(message: ToEngine): void {
    if (this.#state === "ready") this.#run?.child.send(message);
  }

  /** Requests were sent to the engine. `wasIdle`: it had none before. */
  workAdded(wasIdle: boolean): void {
    if (this.#state === "ready") this.#run?.deadline.workAdded(wasIdle);
  }

  /** Ends the process: in order, then by force after `graceMs`. Nothing is started again. */
  async stop(graceMs: number): Promise<void> {
    const run = this.#run;
    this.#state = "stopped";
    if (this.#restartTimer !== null) clearTimeout(this.#restartTimer);
    if (run === null) return;
    this.#disarm(run);
    await run.child.stop({ type: "shutdown" }, graceMs);
  }

  #spawn(): void {
    const { config, scripted, logger, stepTimeoutMs, loadTimeoutMs } = this.#options;
    const child: ManagedChild<ToEngine> = startChild<FromEngine, ToEngine>({
      entry: "engine-process",
      facts: { model: config.modelKey, process: "engine" },
      logger,
      onMessage: (message) => this.#onMessage(run, message),
      onExit: (exit) => this.#onExit(run, exit),
    });
    const run: EngineRun = {
      child,
      deadline: new StepDeadline({
        timeoutMs: stepTimeoutMs + config.maxWaitMs,
        now: this.#options.now,
        hasWork: this.#options.hasWork,
        onExpired: (silentMs) => this.#onSilence(run, silentMs),
      }),
      loadTimer: setTimeout(() => {
        run.cause ??= new InkstoneError(
          "model_load_failed",
          `the model did not load within ${loadTimeoutMs} ms`,
        );
        child.kill();
      }, loadTimeoutMs),
      readyAtMs: null,
      cause: null,
    };
    this.#run = run;
    child.send({ type: "load", config, scripted });
  }

  #onMessage(run: EngineRun, message: FromEngine): void {
    run.deadline.heard(message.type === "running" ? message.nPromptTokens * promptTokenMs : 0);
    switch (message.type) {
      case "step":
        if ((message.stats[stepsIndex] ?? 0) > 0) this.#policy.progress();
        this.#options.onStep(message);
        return;
      case "running":
        this.#options.onRunning(message.handles);
        return;
      case "ready":
        this.#onReady(run, message.info);
        return;
      case "load-failed":
      case "fatal":
        run.cause ??= fromWireError(message.error);
        return;
    }
  }

  #onReady(run: EngineRun, info: EngineInfo): void {
    if (run.loadTimer !== null) clearTimeout(run.loadTimer);
    run.loadTimer = null;
    if (this.#state === "stopped") return;
    run.readyAtMs = this.#options.now();
    this.#state = "ready";
    this.#options.logger.info(
      {
        model: this.#options.config.modelKey,
        pid: run.child.pid,
        restarts: this.#restarts,
        loadMs: info.loadMs,
      },
      "engine ready",
    );
    this.#options.onReady(info);
    this.#firstStart?.resolve();
    this.#firstStart = null;
  }

  #onSilence(run: EngineRun, silentMs: number): void {
    const running = this.#options.runningIds();
    run.cause ??= new InkstoneError(
      "engine_crashed",
      `no step ended within ${Math.round(silentMs)} ms while ${running.length} requests were running`,
    );
    run.child.kill();
  }

  #onExit(run: EngineRun, exit: ChildExit): void {
    const { logger, config, now } = this.#options;
    this.#disarm(run);
    this.#run = null;
    if (this.#state === "stopped") return;
    const reason = run.cause?.message ?? `the engine process ${exit.reason}`;
    if (this.#firstStart !== null) {
      this.#state = "stopped";
      this.#firstStart.reject(run.cause ?? loadCrash(exit));
      this.#firstStart = null;
      return;
    }
    const running = this.#options.runningIds();
    this.#state = "restarting";
    if (this.#options.onDeath()) this.#policy.progress();
    const decision = this.#policy.failure(run.readyAtMs === null ? null : now() - run.readyAtMs, now());
    const next =
      decision.kind === "loop"
        ? `it keeps failing and is tried again in ${decision.delayMs} ms`
        : "it is started again";
    const { code, signal, lastLines } = exit;
    logger.error(
      { model: config.modelKey, pid: run.child.pid, code, signal, running, lastLines },
      `engine failed: ${reason}; ${next}`,
    );
    if (decision.kind === "loop") this.#state = "failed";
    this.#options.onFailure({ reason, running, state: this.#state });
    // Whoever heard of it may have stopped everything.
    if (this.state === "stopped") return;
    this.#restartTimer = setTimeout(() => {
      this.#restartTimer = null;
      this.#restarts += 1;
      this.#spawn();
    }, decision.delayMs);
  }

  #disarm(run: EngineRun): void {
    run.deadline.stop();
    if (run.loadTimer !== null) clearTimeout(run.loadTimer);
    run.loadTimer = null;
  }
}

/** The error of a process that died while it loaded the model and could not say why. */
function loadCrash(exit: ChildExit): InkstoneError {
  const last = exit.lastLines.at(-1);
  const said = last === undefined ? "" : `; its last line was: ${last}`;
  if (exit.signal === "SIGKILL") {
    return new InkstoneError(
      "out_of_memory",
      `the process was killed while it loaded the model, most likely for its use of memory${said}`,
    );
  }
  return new InkstoneError(
    "model_load_failed",
    `the process ${exit.reason} while it loaded the model${said}`,
  );
}
