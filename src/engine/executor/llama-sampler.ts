/** Chooses the tokens of one request. */
import { InkstoneError } from "../../errors.ts";
import { compileGrammar } from "../../native/grammar.ts";
import { Handle, disposeOnError } from "../../native/handle.ts";
import type { LlamaContext } from "../../native/context.ts";
import type { LlamaModel } from "../../native/model.ts";
import type { Pointer } from "../../native/abi.ts";
import { createChain } from "../../native/sampler.ts";
import type { Candidates, ChainLink } from "../../native/sampler.ts";
import { continuedSeed, decisiveTokens, describeChain } from "../sampling/chain.ts";
import { argmax, nucleusSize, topTokens } from "../sampling/logits.ts";
import type { TokenId } from "../types.ts";
import type { SamplerSpec } from "./executor.ts";

/** What all samplers of a model share. */
export interface SamplingContext {
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  /** Room for the whole vocabulary. */
  readonly candidates: Candidates;
  readonly contextTokens: number;
  readonly suppressedTokens: readonly TokenId[];
  /** A random 32-bit number. */
  readonly randomSeed: () => number;
}

/** A grammar is first asked about so many of the most probable tokens, and about the whole vocabulary only if need be. */
const minGrammarShortlist = 64;

/**
 * A chain that begins with top-p. The library's own sampler would sort much of the vocabulary for every token, so that the
 * most probable tokens are looked at first: mostly they are all that top-p leaves.
 */
interface NucleusFirst {
  readonly p: number;
  readonly shortlist: Pointer;
  readonly topP: Pointer;
  readonly rest: Pointer;
}

const nucleusShortlist = 256;

/** The sampler of one request: a chain, and a grammar beside it. */
export class RequestSampler {
  readonly #shared: SamplingContext;
  readonly #handle: Handle;
  readonly #links: readonly ChainLink[];
  /** Only the most probable token is asked for. */
  readonly #plainGreedy: boolean;
  /** null: plain greedy without a grammar, which needs no sampler. */
  readonly #chain: Pointer | null;
  readonly #grammar: Pointer | null;
  readonly #nucleus: NucleusFirst | null;

  /** Throws `invalid_grammar` for a grammar that does not compile, or that the tokens given do not conform to. */
  constructor(shared: SamplingContext, spec: SamplerSpec) {
    const { model } = shared;
    const { lib } = model.native;
    const { sampling, promptTokens, outputTokens } = spec;
    this.#shared = shared;
    this.#links = describeChain(sampling, {
      contextTokens: shared.contextTokens,
      suppressedTokens: shared.suppressedTokens,
      seed: continuedSeed(sampling.seed ?? shared.randomSeed(), outputTokens.length),
    });
    this.#plainGreedy = this.#links.length === 1 && this.#links[0]?.kind === "greedy";

    const owned: Pointer[] = [];
    const own = (sampler: Pointer): Pointer => {
      owned.push(sampler);
      return sampler;
    };
    this.#handle = new Handle(shared.context.handle, () => {
      for (const sampler of owned) lib.llama_sampler_free(sampler);
    });
    const { chain, grammar } = disposeOnError(this.#handle, () => ({
      chain: this.#plainGreedy && sampling.grammar === null ? null : own(createChain(model, this.#links)),
      grammar: sampling.grammar === null ? null : own(compileGrammar(model, sampling.grammar)),
    }));
    this.#chain = chain;
    this.#grammar = grammar;
    const [first, ...others] = this.#links;
    this.#nucleus =
      first?.kind === "top-p" && grammar === null
        ? {
            p: first.p,
            shortlist: own(createChain(model, [{ kind: "top-k", k: nucleusShortlist }])),
            topP: own(createChain(model, [first])),
            rest: own(createChain(model, others)),
          }
        : null;

    const penalties = this.#links.find((link) => link.kind === "penalties");
    if (penalties !== undefined && chain !== null) {
      const seen = [...promptTokens, ...outputTokens].slice(-penalties.lastN);
      for (const token of seen) lib.llama_sampler_accept(chain, token);
    }
    if (grammar !== null) disposeOnError(this.#handle, () => this.#replay(grammar, outputTokens));
  }

  /** Chooses the token that follows the nth output of the last step; `batchIndex` is that output's place in the batch. */
  sample(output: number, batchIndex: number): TokenId {
    const { context, model } = this.#shared;
    if (this.#chain === null) return argmax(context.logits(output));
    if (this.#nucleus !== null) return this.#sampleNucleus(context.logits(output), this.#nucleus);
    if (this.#grammar === null) {
      return model.native.lib.llama_sampler_sample(this.#chain, context.pointer, batchIndex);
    }
    return this.#sampleWithGrammar(context.logits(output), this.#chain, this.#grammar);
  }

  dispose(): void {
    this.#handle.dispose();
  }

  /**
   * The chain chooses freely first, as its choice mostly conforms; only if it does not, the grammar is applied to the
   * tokens before the chain. A token that was not tested is never accepted: the library would end the process.
   */
  #sampleWithGrammar(logits: Float32Array, chain: Pointer, grammar: Pointer): TokenId {
    const { candidates, model } = this.#shared;
    const { lib } = model.native;
    let token: TokenId | null;
    if (this.#plainGreedy) token = argmax(logits);
    else {
      candidates.fill(logits);
      candidates.apply(chain);
      token = candidates.selected;
    }
    if (token === null || !this.#conforms(grammar, token)) {
      this.#fillConforming(grammar, logits);
      candidates.apply(chain);
      token = candidates.selected;
      // No token of the vocabulary continues the grammar, so that the text ends here.
      if (token === null || !this.#conforms(grammar, token)) return this.#endOfGeneration();
    }
    if (!lib.llama_vocab_is_eog(model.vocabulary, token)) {
      lib.llama_sampler_accept(grammar, token);
      lib.llama_sampler_accept(chain, token);
    }
    return token;
  }

  #sampleNucleus(logits: Float32Array, { p, shortlist, topP, rest }: NucleusFirst): TokenId {
    const { candidates } = this.#shared;
    candidates.fill(logits);
    candidates.apply(shortlist);
    const size = nucleusSize(logits, p, (index) => candidates.tokenAt(index), candidates.size);
    if (size === null) {
      candidates.fill(logits);
      candidates.apply(topP);
    } else candidates.truncate(size);
    candidates.apply(rest);
    if (candidates.selected !== null) return candidates.selected;
    throw new InkstoneError("internal_error", "The samplers chose no token.");
  }

  /** Leaves the conforming tokens in the candidates: those that the chain can choose, or all with the others at -Infinity. */
  #fillConforming(grammar: Pointer, logits: Float32Array): void {
    const { candidates } = this.#shared;
    const decisive = decisiveTokens(this.#links);
    if (decisive !== null) {
      candidates.fillSome(topTokens(logits, Math.max(minGrammarShortlist, 2 * decisive)), logits);
      candidates.apply(grammar);
      const conforming = candidates.remaining();
      if (conforming.length >= decisive) {
        candidates.fillSome(conforming, logits);
        return;
      }
    }
    candidates.fill(logits);
    candidates.apply(grammar);
  }

  #conforms(grammar: Pointer, token: TokenId): boolean {
    const { candidates } = this.#shared;
    candidates.fillOne(token);
    candidates.apply(grammar);
    return candidates.remaining().length === 1;
  }

  /** Takes tokens that were generated before as generated by this sampler. */
  #replay(grammar: Pointer, tokens: readonly TokenId[]): void {
    const { vocabulary, native } = this.#shared.model;
    for (const token of tokens) {
      if (native.lib.llama_vocab_is_eog(vocabulary, token)) continue;
      if (!this.#conforms(grammar, token)) {
        throw new InkstoneError(
          "invalid_grammar",
          "The tokens that were generated before do not conform to the grammar.",
        );
      }
      native.lib.llama_sampler_accept(grammar, token);
    }
  }

  #endOfGeneration(): TokenId {
    const { vocabulary, native } = this.#shared.model;
    const eos = native.lib.llama_vocab_eos(vocabulary);
    if (eos >= 0) return eos;
    throw new InkstoneError("invalid_grammar", "No token of the vocabulary continues the grammar.");
  }
}
