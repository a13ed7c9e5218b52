/**
 * The engine of one model as the API sees it. Implemented by `host/` over child processes. No method blocks, and none
 * loads the native library in the calling process.
 */
import type { TokenizeOptions } from "../native/vocabulary.ts";
import type {
  EngineInfo,
  EngineRequest,
  EngineStats,
  RequestUpdate,
  TokenId,
  VocabularyData,
} from "./types.ts";

export type { TokenizeOptions } from "../native/vocabulary.ts";

export type EngineState = "starting" | "ready" | "restarting" | "failed" | "stopping" | "stopped";

export interface EngineClient {
  readonly modelKey: string;
  readonly info: EngineInfo;
  readonly vocabulary: VocabularyData;
  readonly state: EngineState;
  /** The newest counters, monotonic over restarts. */
  readonly stats: EngineStats;
  /** How often the engine process was started again. */
  readonly restarts: number;
  /** Text to tokens, in the tokeniser process. Rejects with `tokenizer_timeout` when it takes too long. */
  tokenize(text: string, options: TokenizeOptions): Promise<TokenId[]>;
  /** Compiles a GBNF grammar in the tokeniser process; rejects with `invalid_grammar` or `tokenizer_timeout`. */
  checkGrammar(grammar: string): Promise<void>;
  /**
   * Queues a request. Every update comes through `onUpdate`, the last one with `finish`, exactly once.
   * Throws `queue_full`, `engine_crash_loop` or `shutting_down`.
   */
  submit(request: EngineRequest, onUpdate: (update: RequestUpdate) => void): void;
  /** Ends a request within one step; its last update has the reason "cancelled". Unknown ids are ignored. */
  cancel(requestId: string): void;
  /** Stops accepting, waits for requests in flight up to `drainMs`, then ends the processes. */
  close(drainMs: number): Promise<void>;
}
