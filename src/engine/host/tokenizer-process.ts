/** Entry of the tokeniser's process: one call after another. Its parent ends it when a call takes too long. */
import { InkstoneError } from "../../errors.ts";
import { connectParent } from "./child-runtime.ts";
import type { ParentChannel } from "./child-runtime.ts";
import { toWireError } from "./messages.ts";
import type { FromTokenizer, ToTokenizer } from "./messages.ts";
import { createTokenizerBackend } from "./tokenizer-backend.ts";
import type { TokenizerBackend } from "./tokenizer-backend.ts";

let backend: TokenizerBackend | null = null;

connectParent<FromTokenizer>(async (message, channel) => receive(message as ToTokenizer, channel));

async function receive(message: ToTokenizer, channel: ParentChannel<FromTokenizer>): Promise<void> {
  switch (message.type) {
    case "load":
      try {
        backend = await createTokenizerBackend(message.config, message.scripted);
        const vocabulary = message.wantVocabulary ? backend.exportVocabulary() : null;
        channel.post({ type: "ready", vocabulary });
      } catch (error) {
        channel.post({ type: "load-failed", error: toWireError(error) });
        channel.exit(1);
      }
      return;
    case "shutdown":
      channel.exit(0);
      return;
    default:
      try {
        channel.post({ type: "result", tokens: answer(message) });
      } catch (error) {
        channel.post({ type: "failed", error: toWireError(error) });
      }
  }
}

function answer(call: Extract<ToTokenizer, { type: "tokenize" | "check-grammar" }>): Int32Array {
  if (backend === null) throw new InkstoneError("engine_unavailable", "the vocabulary is not loaded");
  if (call.type === "tokenize") return Int32Array.from(backend.tokenize(call.text, call));
  backend.checkGrammar(call.grammar);
  return new Int32Array();
}
