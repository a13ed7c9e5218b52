/** Compiling GBNF grammars, with the parser's own words when one is wrong. */
import { closeSync, fstatSync, readSync } from "node:fs";
import koffi from "koffi";
import { InkstoneError } from "../errors.ts";
import type { Pointer } from "./abi.ts";
import { failureReason } from "./log.ts";
import type { LlamaModel } from "./model.ts";

/**
 * Compiles a grammar whose start is the rule `root`. The caller frees the sampler. Throws `invalid_grammar`, without the
 * parser's own words.
 *
 * A grammar can make the library run for long or end the process (deep recursion): a grammar that a user wrote goes
 * through `checkGrammar` first, in a process that may be killed.
 */
export function compileGrammar(model: LlamaModel, grammar: string): Pointer {
  requireText(grammar);
  const sampler = compile(model, grammar);
  if (sampler !== null) return sampler;
  throw new InkstoneError("invalid_grammar", "The grammar is invalid.");
}

/** Throws `invalid_grammar`, with the parser's own words, when the grammar does not compile. */
export function checkGrammar(model: LlamaModel, grammar: string): void {
  requireText(grammar);
  const { lib, log } = model.native;
  const { value, lines } = log.capture(() => captureStderr(() => compile(model, grammar)));
  if (value.value === null) {
    throw new InkstoneError(
      "invalid_grammar",
      `The grammar is invalid: ${parserMessage(value.stderr) ?? failureReason(lines)}.`,
    );
  }
  lib.llama_sampler_free(value.value);
}

function requireText(grammar: string): void {
  if (grammar.trim() === "") throw new InkstoneError("invalid_grammar", "The grammar is empty.");
  if (grammar.includes("\0")) throw new InkstoneError("invalid_grammar", "The grammar contains a NUL.");
}

function compile(model: LlamaModel, grammar: string): Pointer | null {
  return model.native.lib.llama_sampler_init_grammar(model.vocabulary, grammar, "root");
}

const maxMessageLength = 200;
const maxCapturedBytes = 4096;

/** The parser's message out of what it wrote: "parse: error parsing grammar: MESSAGE", without the rest of the grammar. */
export function parserMessage(stderr: string): string | null {
  const message = /error parsing grammar: ([^\n]*)/.exec(stderr)?.[1]?.trim() ?? "";
  if (message === "") return null;
  return message.length <= maxMessageLength ? message : `${message.slice(0, maxMessageLength)}...`;
}

/**
 * The parser writes its message to the C library's stderr and nowhere else, so that file descriptor leads into memory for
 * the time of the call. Where the platform cannot do that, the message stays unknown.
 */
function captureStderr<T>(run: () => T): { value: T; stderr: string } {
  libc ??= { functions: bindLibc() };
  const { functions } = libc;
  const memory = functions?.memfd_create("stderr", 0) ?? -1;
  if (functions === null || memory < 0) return { value: run(), stderr: "" };
  const saved = functions.dup(2);
  try {
    functions.dup2(memory, 2);
    const value = run();
    const { size } = fstatSync(memory);
    const text = Buffer.alloc(Math.min(size, maxCapturedBytes));
    const length = readSync(memory, text, 0, text.length, 0);
    return { value, stderr: text.toString("utf8", 0, length) };
  } finally {
    functions.dup2(saved, 2);
    closeSync(saved);
    closeSync(memory);
  }
}

interface Libc {
  memfd_create(name: string, flags: number): number;
  dup(descriptor: number): number;
  dup2(from: number, to: number): number;
}

/** Bound at the first use. */
let libc: { readonly functions: Libc | null } | null = null;

/** The C library's functions, or null on a platform without them. */
function bindLibc(): Libc | null {
  if (process.platform !== "linux") return null;
  try {
    const library = koffi.load(null);
    return {
      memfd_create: library.func("memfd_create", "int", ["str", "uint32_t"]) as Libc["memfd_create"],
      dup: library.func("dup", "int", ["int"]) as Libc["dup"],
      dup2: library.func("dup2", "int", ["int", "int"]) as Libc["dup2"],
    };
  } catch {
    return null;
  }
}
