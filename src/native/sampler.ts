/** The library's samplers: a chain that chooses a token, and a grammar that restrains it. */
import { InkstoneError } from "../errors.ts";
import { tokenDataBytes } from "./abi.ts";
import type { Bindings, Pointer } from "./abi.ts";
import { Handle } from "./handle.ts";
import { NativeMemory } from "./memory.ts";
import type { LlamaModel } from "./model.ts";

/** One sampler of a chain, in the library's terms. */
export type ChainLink =
  | {
      readonly kind: "logit-bias";
      readonly biases: readonly { readonly token: number; readonly bias: number }[];
    }
  | {
      readonly kind: "penalties";
      /** How many last tokens are looked at. */
      readonly lastN: number;
      readonly repeat: number;
      readonly frequency: number;
      readonly presence: number;
    }
  | { readonly kind: "top-k"; readonly k: number }
  | { readonly kind: "typical"; readonly p: number }
  | { readonly kind: "top-p"; readonly p: number }
  | { readonly kind: "min-p"; readonly p: number }
  | { readonly kind: "temperature"; readonly temperature: number }
  | { readonly kind: "dist"; readonly seed: number }
  | { readonly kind: "greedy" };

/** Builds a chain of samplers. The caller frees it with `llama_sampler_free`; so are its links. */
export function createChain(model: LlamaModel, links: readonly ChainLink[]): Pointer {
  const { lib } = model.native;
  const chain = lib.llama_sampler_chain_init({ no_perf: true });
  if (chain === null) throw new InkstoneError("out_of_memory", "A sampler could not be made.");
  for (const link of links) lib.llama_sampler_chain_add(chain, createLink(lib, link, model.facts.nVocab));
  return chain;
}

function createLink(lib: Bindings, link: ChainLink, nVocab: number): Pointer | null {
  switch (link.kind) {
    case "logit-bias": {
      const packed = new DataView(new ArrayBuffer(8 * link.biases.length));
      for (const [index, { token, bias }] of link.biases.entries()) {
        packed.setInt32(8 * index, token, true);
        packed.setFloat32(8 * index + 4, bias, true);
      }
      return lib.llama_sampler_init_logit_bias(nVocab, link.biases.length, new Uint8Array(packed.buffer));
    }
    case "penalties":
      return lib.llama_sampler_init_penalties(nVocab, link.lastN, link.repeat, link.frequency, link.presence);
    case "top-k":
      return lib.llama_sampler_init_top_k(link.k);
    case "typical":
      return lib.llama_sampler_init_typical(link.p, 0);
    case "top-p":
      return lib.llama_sampler_init_top_p(link.p, 0);
    case "min-p":
      return lib.llama_sampler_init_min_p(link.p, 0);
    case "temperature":
      return lib.llama_sampler_init_temp(link.temperature);
    case "dist":
      return lib.llama_sampler_init_dist(link.seed);
    case "greedy":
      return lib.llama_sampler_init_greedy();
  }
}

const arrayBytes = 32;

/** The tokens that samplers choose among (`llama_token_data_array`), in memory that is used again for every choice. */
export class Candidates {
  readonly handle: Handle;
  readonly #lib: Bindings;
  readonly #memory: NativeMemory;
  readonly #ids: Int32Array;
  readonly #logits: Float32Array;
  readonly #header: BigUint64Array;

  constructor(model: LlamaModel, capacity: number) {
    this.#lib = model.native.lib;
    this.#memory = new NativeMemory(arrayBytes + capacity * tokenDataBytes);
    this.handle = new Handle(model.handle, () => this.#memory.free());
    this.#header = this.#memory.uint64(0, arrayBytes / 8);
    this.#ids = this.#memory.int32(arrayBytes, capacity * 3);
    this.#logits = this.#memory.float32(arrayBytes, capacity * 3);
  }

  /** All tokens with their logits. */
  fill(logits: Float32Array): void {
    const ids = this.#ids;
    const values = this.#logits;
    for (let token = 0, at = 0; token < logits.length; token++, at += 3) {
      ids[at] = token;
      values[at + 1] = logits[token] as number;
    }
    this.#reset(logits.length);
  }

  /** Some tokens, with their logits. */
  fillSome(tokens: ArrayLike<number>, logits: Float32Array): void {
    for (let index = 0, at = 0; index < tokens.length; index++, at += 3) {
      const token = tokens[index] as number;
      this.#ids[at] = token;
      this.#logits[at + 1] = logits[token] as number;
    }
    this.#reset(tokens.length);
  }

  /** One token, with a logit of 0. */
  fillOne(token: number): void {
    this.#ids[0] = token;
    this.#logits[1] = 0;
    this.#reset(1);
  }

  /** Runs a sampler or a chain over the candidates. */
  apply(sampler: Pointer): void {
    this.#lib.llama_sampler_apply(sampler, this.#memory.pointer);
  }

  /** The token that the sampler chose; null when it chose none, or only one that is banned (a logit of -Infinity). */
  get selected(): number | null {
    const index = Number(BigInt.asIntN(64, this.#header[2] ?? -1n));
    if (index < 0 || index >= this.size || this.#logits[3 * index + 1] === -Infinity) return null;
    return this.#ids[3 * index] as number;
  }

  /** How many candidates there are. */
  get size(): number {
    return Number(this.#header[1]);
  }

  /** Tokens whose logit is not -Infinity, in order. */
  remaining(): number[] {
    const tokens: number[] = [];
    for (let at = 0; at < 3 * this.size; at += 3) {
      if (this.#logits[at + 1] !== -Infinity) tokens.push(this.#ids[at] as number);
    }
    return tokens;
  }

  #reset(size: number): void {
    this.#header[0] = this.#memory.at(arrayBytes);
    this.#header[1] = BigInt(size);
    this.#header[2] = BigInt.asUintN(64, -1n);
    this.#header[3] = 0n;
  }
}
