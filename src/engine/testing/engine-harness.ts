/**
 * An engine over the scripted executor whose books are checked after every step: scheduler against cache, cache against the
 * executor's cells, and every finished answer against the tokens that its prompt must give.
 */
import { Engine } from "../engine.ts";
import type { Executor } from "../executor/executor.ts";
import { createScriptedExecutor, scriptedContinuation, type ScriptedOptions } from "../executor/scripted.ts";
import type { StepPlan } from "../plan.ts";
import type { EngineRequest, RequestUpdate, TokenId, TokenOutput } from "../types.ts";

export interface HarnessOptions extends Partial<ScriptedOptions> {
  readonly maxNumSeqs?: number;
  readonly maxNumBatchedTokens?: number;
  readonly maxWaitMs?: number;
  readonly prefixCache?: boolean;
}

export interface Answer {
  readonly tokens: TokenId[];
  readonly outputs: TokenOutput[];
  readonly updates: RequestUpdate[];
  promptLogprobs: readonly TokenOutput[] | null;
  finish: RequestUpdate["finish"];
}

export function createHarness(options: HarnessOptions = {}) {
  const scripted = createScriptedExecutor({
    kvLayout: "unified",
    kvTotalTokens: 256,
    sequenceTokens: 128,
    sequenceIds: 16,
    batchTokens: 32,
    batchOutputs: 32,
    ...options,
  });
  const plans: StepPlan[] = [];
  let now = 0;
  const executor: Executor = {
    limits: scripted.limits,
    openSampler: (id, spec) => scripted.openSampler(id, spec),
    closeSampler: (id) => scripted.closeSampler(id),
    isEndOfGeneration: (token) => scripted.isEndOfGeneration(token),
    usedCells: () => scripted.usedCells(),
    dispose: () => scripted.dispose(),
    step: (plan) => {
      plans.push(plan);
      scripted.step({ operations: plan.operations, rows: [] });
      const counted = engine.stats.kvUsedTokens;
      if (counted !== scripted.usedCells())
        throw new Error(`the cache counts ${counted} cells, the executor ${scripted.usedCells()}`);
      return scripted.step({ operations: [], rows: plan.rows });
    },
  };
  const engine = new Engine(executor, {
    maxNumSeqs: options.maxNumSeqs ?? 4,
    maxNumBatchedTokens: options.maxNumBatchedTokens ?? 32,
    maxWaitMs: options.maxWaitMs ?? 0,
    prefixCache: options.prefixCache ?? true,
    now: () => now,
  });
  const answers = new Map<string, Answer>();
  const requests = new Map<string, EngineRequest>();

  const submit = (request: EngineRequest): void => {
    engine.submit(request);
    requests.set(request.id, request);
    answers.set(request.id, {
      tokens: [],
      outputs: [],
      updates: [],
      promptLogprobs: null,
      finish: undefined,
    });
  };

  const step = (): ReturnType<Engine["step"]> => {
    now += 10;
    const outcome = engine.step();
    engine.checkIntegrity();
    for (const update of outcome.updates) {
      const answer = answers.get(update.id);
      if (answer === undefined) throw new Error(`an update for the unknown request ${update.id}`);
      if (answer.finish !== undefined) throw new Error(`an update after the end of ${update.id}`);
      answer.updates.push(update);
      answer.outputs.push(...update.tokens);
      answer.tokens.push(...update.tokens.map((output) => output.token));
      if (update.promptLogprobs !== undefined) answer.promptLogprobs = update.promptLogprobs;
      answer.finish = update.finish;
    }
    return outcome;
  };

  /** Steps until the engine is idle; throws when that takes too long, which is how starvation shows. */
  const drain = (maxSteps = 5000): void => {
    for (let i = 0; i < maxSteps; i++) if (step().idle) return;
    throw new Error(`not idle after ${maxSteps} steps`);
  };

  /** Every answer is what its request alone would have got; cancelled ones are a prefix of it. */
  const checkAnswers = (): void => {
    for (const [id, request] of requests) {
      const answer = answers.get(id)!;
      if (answer.finish === undefined) throw new Error(`${id} did not end`);
      const context = [...request.promptTokens, ...request.outputTokens];
      const expected = scriptedContinuation(context, answer.tokens.length, options.nextToken);
      if (answer.tokens.join() !== expected.join()) throw new Error(`${id} got another request's tokens`);
      const { sequenceTokens, kvTotalTokens } = scripted.limits;
      const room = Math.min(sequenceTokens, kvTotalTokens) - context.length;
      const wanted = Math.min(request.maxTokens - request.outputTokens.length, room);
      if (answer.finish.reason === "length" && answer.tokens.length !== wanted)
        throw new Error(`${id} got ${answer.tokens.length} tokens`);
    }
  };

  return {
    engine,
    scripted,
    plans,
    answers,
    submit,
    step,
    drain,
    checkAnswers,
    advance: (ms: number) => (now += ms),
  };
}
