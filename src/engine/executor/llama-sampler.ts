/** Chooses the tokens of one request. */
import { InkstoneError } from "../../errors.ts";
import type { Pointer } from "../../native/abi.ts";
import type { LlamaContext } from "../../native/context.ts";
import { Handle, disposeOnError } from "../../native/handle.ts";
import type { LlamaModel } from "../../native/model.ts";
import { createChain } from "../../native/sampler.ts";
import type { Candidates, ChainLink } from "../../native/sampler.ts";
import { continuedSeed, decisiveTokens, describeChain, librarySeed } from "../sampling/chain.ts";
import { argmax, topTokens } from "../sampling/logits.ts";
import type { TokenId } from "../types.ts";
import type { SamplerSpec } from "./executor.ts";
import type { GrammarCache, RequestGrammar } from "./llama-grammar.ts";

/** What all samplers of a model share. */
export interface SamplingContext {
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  /** Room for the whole vocabulary. */
  readonly candidates: Candidates;
  readonly grammars: GrammarCache;
  /** All token ids, ascending. */
  readonly vocabulary: Int32Array;
  readonly contextTokens: number;
  readonly suppressedTokens: readonly TokenId[];
  /** A random 32-bit number. */
  readonly randomSeed: () => number;
}

/** A grammar is first asked about so many of the most probable tokens, and about the whole vocabulary only if need be. */
const minGrammarShortlist = 64;

/** The sampler of one request: a chain, and a grammar beside it. */
export class RequestSampler {
  readonly #shared: SamplingContext;
  readonly #handle: Handle;
  readonly #links: readonly ChainLink[];
  /** Only the most probable token is asked for. */
  readonly #plainGreedy: boolean;
  /** null: plain greedy without a grammar, which needs no sampler. */
  readonly #chain: Pointer | null;
  readonly #grammar: RequestGrammar | null;

  /**
   * Throws `invalid_grammar` for a grammar that does not compile or is too slow, or that the tokens given do not
   * conform to.
   */
  constructor(shared: SamplingContext, spec: SamplerSpec) {
    const { model } = shared;
    const { sampling, outputTokens } = spec;
    const seed = sampling.seed ?? shared.randomSeed();
    this.#shared = shared;
    this.#links = describeChain(sampling, {
      contextTokens: shared.contextTokens,
      suppressedTokens: shared.suppressedTokens,
      // With a grammar, a token takes one random number or two.
      seed: sampling.grammar === null ? librarySeed(seed) : continuedSeed(seed, outputTokens.length),
    });
    this.#plainGreedy = this.#links.length === 1 && this.#links[0]?.kind === "greedy";
    this.#handle = new Handle(shared.context.handle, () => {});
    const { chain, grammar } = disposeOnError(this.#handle, () => ({
      chain: this.#plainGreedy && sampling.grammar === null ? null : this.#openChain(model),
      grammar: sampling.grammar === null ? null : this.#openGrammar(sampling.grammar, outputTokens),
    }));
    this.#chain = chain;
    this.#grammar = grammar;
    if (chain !== null) disposeOnError(this.#handle, () => this.#replayChain(chain, spec));
  }

  /**
   * Chooses the token that follows the nth output of the last step; `batchIndex` is that output's place in the batch.
   * Throws `invalid_grammar` when the grammar has become too slow, or nothing continues it.
   */
  sample(output: number, batchIndex: number): TokenId {
    const { context, model } = this.#shared;
    if (this.#chain === null) return argmax(context.logits(output));
    if (this.#grammar === null) {
      return model.native.lib.llama_sampler_sample(this.#chain, context.pointer, batchIndex);
    }
    return this.#sampleWithGrammar(context.logits(output), this.#chain, this.#grammar);
  }

  dispose(): void {
    this.#handle.dispose();
  }

  #openChain(model: LlamaModel): Pointer {
    const chain = createChain(model, this.#links);
    new Handle(this.#handle, () => model.native.lib.llama_sampler_free(chain));
    return chain;
  }

  /** A grammar that has taken the tokens that were generated before. */
  #openGrammar(text: string, tokens: readonly TokenId[]): RequestGrammar {
    const { grammars, model } = this.#shared;
    const grammar = grammars.open(text, this.#handle);
    for (const token of tokens) {
      if (model.native.lib.llama_vocab_is_eog(model.vocabulary, token)) continue;
      if (!grammar.conforms(token)) {
        throw new InkstoneError(
          "invalid_grammar",
          "The tokens that were generated before do not conform to the grammar.",
        );
      }
      grammar.accept(token);
    }
    return grammar;
  }

  /** Brings the penalties and the random numbers to where they were after the tokens that were generated before. */
  #replayChain(chain: Pointer, { sampling, promptTokens, outputTokens }: SamplerSpec): void {
    const { candidates, model } = this.#shared;
    const { lib } = model.native;
    const penalties = this.#links.find((link) => link.kind === "penalties");
    if (penalties !== undefined) {
      const seen = [...promptTokens, ...outputTokens].slice(-penalties.lastN);
      for (const token of seen) lib.llama_sampler_accept(chain, token);
    }
    if (sampling.grammar !== null || this.#links.at(-1)?.kind !== "dist") return;
    const dist = lib.llama_sampler_chain_get(chain, lib.llama_sampler_chain_n(chain) - 1);
    if (dist === null) throw new InkstoneError("internal_error", "A chain of samplers has no end.");
    // A choice takes one random number, also where there is only one token to choose.
    for (const token of outputTokens) {
      candidates.fillOne(token);
      candidates.apply(dist);
    }
  }

  /**
   * The chain chooses freely first, as its choice mostly conforms; only if it does not, it chooses among the conforming
   * tokens. A token that was not tested is never accepted: the library would end the process.
   */
  #sampleWithGrammar(logits: Float32Array, chain: Pointer, grammar: RequestGrammar): TokenId {
    const { candidates, model } = this.#shared;
    const { lib } = model.native;
    let token: TokenId | null;
    if (this.#plainGreedy) token = argmax(logits);
    else {
      candidates.fill(logits);
      candidates.apply(chain);
      token = candidates.selected;
    }
    if (token === null || !grammar.conforms(token)) {
      const conforming = this.#conforming(grammar, logits);
      if (conforming.length === 0) return this.#endOfGeneration();
      candidates.fillSome(conforming, logits);
      candidates.apply(chain);
      token = candidates.selected;
      // No token that may be chosen continues the grammar, so that the text ends here.
      if (token === null) return this.#endOfGeneration();
    }
    if (!lib.llama_vocab_is_eog(model.vocabulary, token)) {
      grammar.accept(token);
      lib.llama_sampler_accept(chain, token);
    }
    return token;
  }

  /** The conforming tokens, or at least those of them that the chain can choose. */
  #conforming(grammar: RequestGrammar, logits: Float32Array): TokenId[] {
    const decisive = decisiveTokens(this.#links);
    if (decisive !== null) {
      const shortlist = topTokens(logits, Math.max(minGrammarShortlist, 2 * decisive));
      const conforming = grammar.conforming(shortlist, logits);
      if (conforming.length >= decisive) return conforming;
    }
    return grammar.conforming(this.#shared.vocabulary, logits);
  }

  #endOfGeneration(): TokenId {
    const { vocabulary, native } = this.#shared.model;
    const eos = native.lib.llama_vocab_eos(vocabulary);
    if (eos >= 0) return eos;
    throw new InkstoneError("invalid_grammar", "No token of the vocabulary continues the grammar.");
  }
}
