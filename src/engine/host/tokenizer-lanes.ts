/**
 * The tokeniser processes of one model. Texts that take long and grammars, which may take for ever, have processes of
 * their own, so that an ordinary prompt waits for neither. Those are started when they are first needed.
 */
import type { TokenizeOptions } from "../client.ts";
import type { EngineConfig, TokenId, VocabularyData } from "../types.ts";
import type { HostLogger } from "./managed-child.ts";
import type { ScriptedFaults } from "./messages.ts";
import { TokenizerLane } from "./tokenizer-lane.ts";

/** A text of as many UTF-16 units or more goes to the process for long ones: about a tenth of a second. */
export const longTextLength = 100_000;

const idleStopMs = 60_000;

export interface TokenizerLanesOptions {
  readonly config: EngineConfig;
  readonly scripted: ScriptedFaults;
  readonly tokenizeTimeoutMs: number;
  readonly grammarTimeoutMs: number;
  readonly loadTimeoutMs: number;
  readonly logger: HostLogger;
}

export class TokenizerLanes {
  readonly #options: TokenizerLanesOptions;
  readonly #short: TokenizerLane;
  readonly #long: TokenizerLane;
  readonly #grammar: TokenizerLane;

  constructor(options: TokenizerLanesOptions) {
    this.#options = options;
    this.#short = new TokenizerLane({ ...options, name: "tokenizer", idleStopMs: null, maxPending: 4_096 });
    this.#long = new TokenizerLane({ ...options, name: "tokenizer-long", idleStopMs, maxPending: 16 });
    this.#grammar = new TokenizerLane({ ...options, name: "tokenizer-grammar", idleStopMs, maxPending: 256 });
  }

  /** Process ids of those that run. */
  get pids(): number[] {
    return [this.#short, this.#long, this.#grammar].flatMap(({ pid }) => pid ?? []);
  }

  /** Starts the process for ordinary texts. Rejects with the error of the load. */
  async start(): Promise<VocabularyData> {
    return this.#short.start();
  }

  /** Rejects as `TokenizerLane.call` does. */
  async tokenize(text: string, { addSpecial, parseSpecial }: TokenizeOptions): Promise<TokenId[]> {
    const lane = text.length >= longTextLength ? this.#long : this.#short;
    return lane.call({ type: "tokenize", text, addSpecial, parseSpecial }, this.#options.tokenizeTimeoutMs);
  }

  /** Rejects as `TokenizerLane.call` does. */
  async checkGrammar(grammar: string): Promise<void> {
    await this.#grammar.call({ type: "check-grammar", grammar }, this.#options.grammarTimeoutMs);
  }

  /** Ends all processes; each is killed after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    await Promise.all([this.#short, this.#long, this.#grammar].map((lane) => lane.stop(graceMs)));
  }
}
