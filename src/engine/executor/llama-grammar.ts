/** Grammars of requests: compiled once for each text, and followed within a limit of time. */
import { InkstoneError } from "../../errors.ts";
import type { Pointer } from "../../native/abi.ts";
import { compileGrammar } from "../../native/grammar.ts";
import { Handle, disposeOnError } from "../../native/handle.ts";
import type { LlamaModel } from "../../native/model.ts";
import type { Candidates } from "../../native/sampler.ts";
import type { TokenId } from "../types.ts";

const maxKeptGrammars = 8;
/**
 * Longest that a grammar may take to be made for a request, to test tokens, or to accept one. A grammar can double its states with each
 * token, and all requests wait for it.
 */
const limitMs = 100;
/** A copy that takes no longer is made without asking whether compiling would be quicker. */
const quickCopyMs = 10;
/** The limit is for vocabularies up to this size; testing a larger one takes longer. */
const limitVocabulary = 50_000;
/** Tokens that are tested in one call: few at first, then more, so that the clock is looked at in time. */
const chunkTokens = { first: 64, most: 4096 };

/** What the grammars of a model share. */
export interface GrammarContext {
  readonly model: LlamaModel;
  /** Room for the whole vocabulary. */
  readonly candidates: Candidates;
}

/** A grammar at its start, and what making another one of it costs. */
interface CompiledGrammar {
  readonly handle: Handle;
  readonly sampler: Pointer;
  readonly compileMs: number;
  readonly copyMs: number;
}

/** Compiled grammars by their text. Freed with their owner. */
export class GrammarCache {
  readonly #context: GrammarContext;
  readonly #owner: Handle;
  /** The one that was used last is the last one. */
  readonly #compiled = new Map<string, CompiledGrammar>();

  constructor(context: GrammarContext, owner: Handle) {
    this.#context = context;
    this.#owner = owner;
  }

  /** A grammar at its start, freed with `owner`. Throws `invalid_grammar`, also for one that takes too long to make. */
  open(text: string, owner: Handle): RequestGrammar {
    const { model } = this.#context;
    const { sampler: original, compileMs, copyMs } = this.#compile(text);
    requireQuick(Math.min(compileMs, copyMs), limitMs, "each request");
    // Copying searches the rules for each state: of many alternatives it takes longer than compiling.
    const copies = copyMs <= quickCopyMs || copyMs <= compileMs;
    const sampler = copies ? this.#copy(original) : compileGrammar(model, text);
    new Handle(owner, () => model.native.lib.llama_sampler_free(sampler));
    return new RequestGrammar(this.#context, sampler);
  }

  #compile(text: string): CompiledGrammar {
    const { model } = this.#context;
    const { lib } = model.native;
    const known = this.#compiled.get(text);
    if (known !== undefined) {
      this.#compiled.delete(text);
      this.#compiled.set(text, known);
      return known;
    }
    const clock = new WorkClock();
    const sampler = compileGrammar(model, text);
    const compileMs = clock.spentMs();
    const handle = new Handle(this.#owner, () => lib.llama_sampler_free(sampler));
    const copyClock = new WorkClock();
    lib.llama_sampler_free(disposeOnError(handle, () => this.#copy(sampler)));
    const compiled = { handle, sampler, compileMs, copyMs: copyClock.spentMs() };
    this.#compiled.set(text, compiled);
    for (const [oldest, { handle: dropped }] of this.#compiled) {
      if (this.#compiled.size <= maxKeptGrammars) break;
      this.#compiled.delete(oldest);
      dropped.dispose();
    }
    return compiled;
  }

  #copy(original: Pointer): Pointer {
    const copy = this.#context.model.native.lib.llama_sampler_clone(original);
    if (copy === null) throw new InkstoneError("out_of_memory", "A grammar could not be copied.");
    return copy;
  }
}

/** One request's place in its grammar. Everything here throws `invalid_grammar` when it takes too long. */
export class RequestGrammar {
  readonly #context: GrammarContext;
  readonly #sampler: Pointer;
  readonly #limitMs: number;

  constructor(context: GrammarContext, sampler: Pointer) {
    this.#context = context;
    this.#sampler = sampler;
    this.#limitMs = limitMs * Math.max(1, context.model.facts.nVocab / limitVocabulary);
  }

  /** Can the text go on with this token? Overwrites the candidates. */
  conforms(token: TokenId): boolean {
    const { candidates } = this.#context;
    candidates.fillOne(token);
    this.#timed(() => candidates.apply(this.#sampler));
    return candidates.remaining().length === 1;
  }

  /** Those of the tokens that the text can go on with, in the same order. Overwrites the candidates. */
  conforming(tokens: readonly TokenId[] | Int32Array, logits: Float32Array): TokenId[] {
    const { candidates } = this.#context;
    const found: TokenId[] = [];
    const clock = new WorkClock();
    let size = chunkTokens.first;
    for (let start = 0; start < tokens.length; start += size, size = Math.min(2 * size, chunkTokens.most)) {
      candidates.fillSome(tokens.slice(start, start + size), logits);
      candidates.apply(this.#sampler);
      found.push(...candidates.remaining());
      requireQuick(clock.spentMs(), this.#limitMs, "a token");
    }
    return found;
  }

  /** Goes on with a token. It must conform: the library ends the process for any other. */
  accept(token: TokenId): void {
    this.#timed(() => this.#context.model.native.lib.llama_sampler_accept(this.#sampler, token));
  }

  #timed(run: () => void): void {
    const clock = new WorkClock();
    run();
    requireQuick(clock.spentMs(), this.#limitMs, "a token");
  }
}

function requireQuick(spentMs: number, mostMs: number, what: string): void {
  if (spentMs <= mostMs) return;
  throw new InkstoneError(
    "invalid_grammar",
    `The grammar is too slow: it takes ${Math.round(spentMs)} ms for ${what}, and at most ${Math.round(mostMs)} ms are allowed.`,
  );
}

/** Counts what this process computes, so that a busy machine makes no grammar slow. */
class WorkClock {
  readonly #start = process.cpuUsage();

  spentMs(): number {
    const { user, system } = process.cpuUsage(this.#start);
    return (user + system) / 1000;
  }
}
