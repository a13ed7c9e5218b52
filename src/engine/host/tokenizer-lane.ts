/** One tokeniser process and the calls that wait for it. A call that takes too long costs only itself. */
import { InkstoneError } from "../../errors.ts";
import type { EngineConfig, TokenId, VocabularyData } from "../types.ts";
import { startChild } from "./managed-child.ts";
import type { ChildExit, HostLogger, ManagedChild } from "./managed-child.ts";
import { fromWireError } from "./messages.ts";
import type { FromTokenizer, ScriptedFaults, ToTokenizer } from "./messages.ts";

export type TokenizerCall = Extract<ToTokenizer, { type: "tokenize" | "check-grammar" }>;

export interface TokenizerLaneOptions {
  readonly config: EngineConfig;
  readonly scripted: ScriptedFaults;
  /** Appears in the log. */
  readonly name: string;
  /** An idle process is ended after as long; null: it is kept, and started again when it dies. */
  readonly idleStopMs: number | null;
  /** Calls beyond this are refused. */
  readonly maxPending: number;
  readonly loadTimeoutMs: number;
  readonly logger: HostLogger;
}

interface PendingCall {
  readonly message: TokenizerCall;
  readonly timeoutMs: number;
  readonly resolve: (tokens: TokenId[]) => void;
  readonly reject: (error: InkstoneError) => void;
  /** Processes that died while they worked on it. */
  deaths: number;
}

interface LaneProcess {
  readonly child: ManagedChild<ToTokenizer>;
  readonly loadTimer: NodeJS.Timeout;
  ready: boolean;
  cause: InkstoneError | null;
}

/** Pause before a process that died idle is started again. */
const idleRestartMs = 1_000;

export class TokenizerLane {
  readonly #options: TokenizerLaneOptions;
  readonly #queue: PendingCall[] = [];
  #process: LaneProcess | null = null;
  #current: PendingCall | null = null;
  #callTimer: NodeJS.Timeout | null = null;
  /** Stops an idle process, or starts one that died idle. */
  #idleTimer: NodeJS.Timeout | null = null;
  #stopped = false;
  #firstStart: {
    resolve: (vocabulary: VocabularyData) => void;
    reject: (error: InkstoneError) => void;
  } | null = null;

  constructor(options: TokenizerLaneOptions) {
    this.#options = options;
  }

  get pid(): number | null {
    return this.#process?.child.pid ?? null;
  }

  /** Starts the process before the first call and gives the vocabulary. Rejects with the error of the load. */
  async start(): Promise<VocabularyData> {
    return new Promise((resolve, reject) => {
      this.#firstStart = { resolve, reject };
      this.#spawn();
    });
  }

  /**
   * Queues a call; `timeoutMs` counts from when the process begins it. Resolves with the tokens (none for a grammar).
   * Rejects with `tokenizer_timeout`, `invalid_grammar`, `queue_full`, `shutting_down` or the error of the load.
   */
  async call(message: TokenizerCall, timeoutMs: number): Promise<TokenId[]> {
    if (this.#stopped) throw stoppedError();
    if (this.#queue.length >= this.#options.maxPending) {
      throw new InkstoneError("queue_full", `${this.#queue.length} inputs already wait for the tokeniser`, {
        retryAfterS: 1,
      });
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ message, timeoutMs, resolve, reject, deaths: 0 });
      this.#pump();
    });
  }

  /** Rejects what waits and ends the process: in order, then by force after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    this.#clearTimers();
    this.#rejectAll(stoppedError());
    const running = this.#process;
    if (running === null) return;
    clearTimeout(running.loadTimer);
    await running.child.stop({ type: "shutdown" }, graceMs);
  }

  #pump(): void {
    if (this.#stopped || this.#current !== null) return;
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#idleTimer = null;
    if (this.#queue.length === 0) {
      this.#waitIdle();
      return;
    }
    if (this.#process === null) this.#spawn();
    const running = this.#process;
    if (running === null || !running.ready) return;
    const call = this.#queue.shift();
    if (call === undefined) return;
    this.#current = call;
    this.#callTimer = setTimeout(() => this.#onTimeout(running, call), call.timeoutMs);
    running.child.send(call.message);
  }

  /** Nothing to do: a process that may go is ended after a while, one that should be there is started again. */
  #waitIdle(): void {
    const { idleStopMs } = this.#options;
    if (idleStopMs === null && this.#process === null) {
      this.#idleTimer = setTimeout(() => this.#spawn(), idleRestartMs);
    } else if (idleStopMs !== null && this.#process !== null) {
      this.#idleTimer = setTimeout(() => this.#process?.child.kill(), idleStopMs);
      this.#idleTimer.unref();
    }
  }

  #spawn(): void {
    const { config, scripted, name, loadTimeoutMs, logger } = this.#options;
    const child: ManagedChild<ToTokenizer> = startChild<FromTokenizer, ToTokenizer>({
      entry: "tokenizer-process",
      facts: { model: config.modelKey, process: name },
      logger,
      onMessage: (message) => this.#onMessage(running, message),
      onExit: (exit) => this.#onExit(running, exit),
    });
    const running: LaneProcess = {
      child,
      loadTimer: setTimeout(() => {
        running.cause ??= new InkstoneError(
          "model_load_failed",
          `the vocabulary did not load within ${loadTimeoutMs} ms`,
        );
        child.kill();
      }, loadTimeoutMs),
      ready: false,
      cause: null,
    };
    this.#process = running;
    child.send({ type: "load", config, wantVocabulary: this.#firstStart !== null, scripted });
  }

  #onMessage(running: LaneProcess, message: FromTokenizer): void {
    switch (message.type) {
      case "ready":
        clearTimeout(running.loadTimer);
        running.ready = true;
        if (message.vocabulary !== null) this.#firstStart?.resolve(message.vocabulary);
        this.#firstStart = null;
        break;
      case "load-failed":
      case "fatal":
        running.cause ??= fromWireError(message.error);
        return;
      case "result":
        this.#takeCurrent()?.resolve(Array.from(message.tokens));
        break;
      case "failed":
        this.#takeCurrent()?.reject(fromWireError(message.error));
        break;
    }
    this.#pump();
  }

  #onTimeout(running: LaneProcess, call: PendingCall): void {
    const { logger, config, name } = this.#options;
    running.ready = false;
    this.#takeCurrent();
    // Forgotten here, so that the next call starts another one without waiting for this one's end.
    this.#process = null;
    running.child.kill();
    logger.warn(
      { model: config.modelKey, process: name, timeoutMs: call.timeoutMs },
      "tokeniser call took too long",
    );
    call.reject(
      new InkstoneError(
        "tokenizer_timeout",
        call.message.type === "tokenize"
          ? `tokenising ${call.message.text.length} characters took longer than ${call.timeoutMs} ms`
          : `compiling the grammar took longer than ${call.timeoutMs} ms`,
      ),
    );
    this.#pump();
  }

  #onExit(running: LaneProcess, exit: ChildExit): void {
    clearTimeout(running.loadTimer);
    if (this.#process !== running) return;
    this.#process = null;
    if (this.#stopped) {
      this.#firstStart?.reject(stoppedError());
      return;
    }
    const { logger, config, name } = this.#options;
    const facts = {
      model: config.modelKey,
      process: name,
      pid: running.child.pid,
      lastLines: exit.lastLines,
    };
    if (!running.ready) {
      const error =
        running.cause ??
        new InkstoneError("model_load_failed", `the tokeniser process ${exit.reason} at its start`);
      logger.error(facts, `tokeniser did not start: ${error.message}`);
      this.#firstStart?.reject(error);
      this.#firstStart = null;
      this.#rejectAll(error);
      return;
    }
    const call = this.#takeCurrent();
    if (call === null && this.#options.idleStopMs !== null && exit.signal === "SIGKILL") {
      logger.debug(facts, "idle tokeniser ended");
    } else {
      logger.error(facts, `tokeniser failed: ${running.cause?.message ?? exit.reason}`);
    }
    if (call !== null) this.#retry(call, running.cause);
    this.#pump();
  }

  /** The process died under this call. Once may be chance. */
  #retry(call: PendingCall, cause: InkstoneError | null): void {
    call.deaths += 1;
    if (call.deaths < 2) this.#queue.unshift(call);
    else if (cause !== null) call.reject(cause);
    else if (call.message.type === "tokenize") {
      call.reject(new InkstoneError("internal_error", "the tokeniser process ended twice on this input"));
    } else call.reject(new InkstoneError("invalid_grammar", "the grammar makes the grammar compiler fail"));
  }

  #takeCurrent(): PendingCall | null {
    if (this.#callTimer !== null) clearTimeout(this.#callTimer);
    this.#callTimer = null;
    const call = this.#current;
    this.#current = null;
    return call;
  }

  #rejectAll(error: InkstoneError): void {
    this.#takeCurrent()?.reject(error);
    for (const call of this.#queue.splice(0)) call.reject(error);
  }

  #clearTimers(): void {
    if (this.#callTimer !== null) clearTimeout(this.#callTimer);
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
  }
}

function stoppedError(): InkstoneError {
  return new InkstoneError("shutting_down", "the server is stopping");
}
