/** The faults that tests ask of a scripted child. Each acts on the process as the real one would. */
import { existsSync } from "node:fs";
import { InkstoneError } from "../../errors.ts";
import type { Executor } from "../executor/executor.ts";
import type { ScriptedFaults } from "./messages.ts";
import type { TokenizerBackend } from "./tokenizer-backend.ts";

/** Throws `model_file_missing` unless the required file, if any, exists. */
export function checkRequiredFile({ requireFile }: ScriptedFaults): void {
  if (requireFile !== undefined && !existsSync(requireFile)) {
    throw new InkstoneError("model_file_missing", `${requireFile} does not exist`);
  }
}

/** An executor that is slow, dies or hangs in a step, as asked. */
export function withStepFaults(executor: Executor, faults: ScriptedFaults): Executor {
  const { crashOnToken, hangOnToken, stepDelayMs } = faults;
  return {
    limits: executor.limits,
    openSampler: (requestId, spec) => executor.openSampler(requestId, spec),
    closeSampler: (requestId) => executor.closeSampler(requestId),
    isEndOfGeneration: (token) => executor.isEndOfGeneration(token),
    step(plan) {
      const computes = (token: number | undefined): boolean =>
        token !== undefined && plan.rows.some((row) => row.tokens.includes(token));
      if (stepDelayMs !== undefined) sleep(stepDelayMs);
      if (computes(crashOnToken)) process.kill(process.pid, "SIGKILL");
      if (computes(hangOnToken)) sleep(Infinity);
      return executor.step(plan);
    },
    usedCells: () => executor.usedCells(),
    dispose: () => executor.dispose(),
  };
}

/** A tokeniser that dies or hangs on a text or grammar, as asked. */
export function withTextFaults(backend: TokenizerBackend, faults: ScriptedFaults): TokenizerBackend {
  const { crashOnText, hangOnText } = faults;
  const act = (text: string): void => {
    if (crashOnText !== undefined && text.includes(crashOnText)) process.kill(process.pid, "SIGKILL");
    if (hangOnText !== undefined && text.includes(hangOnText)) sleep(Infinity);
  };
  return {
    exportVocabulary: () => backend.exportVocabulary(),
    tokenize(text, options) {
      act(text);
      return backend.tokenize(text, options);
    },
    checkGrammar(grammar) {
      act(grammar);
      backend.checkGrammar(grammar);
    },
  };
}

/** Holds up the thread, as a native call does. */
function sleep(delayMs: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, delayMs);
}
