/** What the tokeniser's process runs: the model's vocabulary without its weights. */
import type { TokenizeOptions } from "../client.ts";
import type { EngineConfig, VocabularyData } from "../types.ts";
import { checkRequiredFile, withTextFaults } from "./faults.ts";
import type { ScriptedFaults } from "./messages.ts";

export interface TokenizerBackend {
  tokenize(text: string, options: TokenizeOptions): ArrayLike<number>;
  /** Throws `invalid_grammar`. */
  checkGrammar(grammar: string): void;
  exportVocabulary(): VocabularyData;
}

/** Loads the vocabulary of a model. Throws what the loader throws. The library is loaded only when it is needed. */
export async function createTokenizerBackend(
  config: EngineConfig,
  scripted: ScriptedFaults,
): Promise<TokenizerBackend> {
  if (config.executor === "scripted") {
    const { createScriptedTokenizer } = await import("./scripted-tokenizer.ts");
    checkRequiredFile(scripted);
    return withTextFaults(createScriptedTokenizer(), scripted);
  }
  const { loadNative } = await import("../../native/library.ts");
  const { locateNative } = await import("../../native/packages.ts");
  const { loadModel } = await import("../../native/model.ts");
  const { exportVocabulary, tokenize } = await import("../../native/vocabulary.ts");
  const { checkGrammar } = await import("../../native/grammar.ts");
  const native = loadNative({ directory: locateNative(config.nativeDirectory).directory, backends: false });
  const model = loadModel(native, { paths: config.modelPaths, vocabOnly: true });
  return {
    tokenize: (text, options) => tokenize(model, text, options),
    checkGrammar: (grammar) => checkGrammar(model, grammar),
    exportVocabulary: () => exportVocabulary(model),
  };
}
