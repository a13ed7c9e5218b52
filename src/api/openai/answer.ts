/** What the two completion endpoints do alike: one answer or a stream of events, from one generation. */
import type { Context } from "hono";
import type { OutputDelta } from "../../chat/output-stream.ts";
import type { TokenOutput } from "../../engine/types.ts";
import { InkstoneError } from "../../errors.ts";
import type { AppDeps, AppEnv, ServedModel } from "../deps.ts";
import { createDeferred } from "../deferred.ts";
import { toErrorBody, toPublicError } from "../error-response.ts";
import { createEventStream, doneEvent, eventStreamHeaders, toEvent } from "../event-stream.ts";
import { createGeneration } from "../generation/generation.ts";
import type { ChoicePlan, FinishReason, Generation, GenerationHandlers } from "../generation/generation.ts";
import { toTimings, toUsage } from "../generation/usage.ts";
import type { GenerationTotals, Timings, Usage } from "../generation/usage.ts";

/** One choice of a whole answer. */
export interface ChoiceResult {
  readonly content: string;
  readonly reasoning: string;
  readonly tokens: readonly TokenOutput[];
  /** null where they were not asked for. */
  readonly promptLogprobs: readonly TokenOutput[] | null;
  readonly finishReason: FinishReason;
}

/** How an endpoint writes its answers. Every method but `whole` gives the text of events, "" for none. */
export interface AnswerFormat {
  readonly start: () => string;
  readonly promptLogprobs: (choice: number, outputs: readonly TokenOutput[]) => string;
  readonly delta: (choice: number, delta: OutputDelta, tokens: readonly TokenOutput[]) => string;
  /** `timings` on the last event of the stream that is not `[DONE]`. */
  readonly finish: (choice: number, reason: FinishReason, timings: Timings | null) => string;
  readonly usage: (usage: Usage, timings: Timings) => string;
  /** Body of an answer that is not streamed. */
  readonly whole: (choices: readonly ChoiceResult[], usage: Usage, timings: Timings) => object;
}

export interface AnswerOptions {
  readonly model: ServedModel;
  readonly choices: readonly ChoicePlan[];
  readonly format: AnswerFormat;
  readonly isStream: boolean;
  readonly includeUsage: boolean;
  /** By the clock of `AppDeps`. */
  readonly arrivedMs: number;
}

/** Runs the choices and answers. Throws what `submit` throws, and `interrupted` when the client has gone away. */
export async function answer(c: Context<AppEnv>, deps: AppDeps, options: AnswerOptions): Promise<Response> {
  const { signal } = c.req.raw;
  const record = c.get("record");
  record.model = options.model.name;
  record.stream = options.isStream;
  if (signal.aborted) throw gone();
  return options.isStream ? answerStream(c, deps, options) : answerWhole(c, deps, options, signal);
}

function create(deps: AppDeps, options: AnswerOptions, handlers: GenerationHandlers): Generation {
  const { model, choices, arrivedMs } = options;
  const metrics = deps.metrics.model(model.name);
  return createGeneration({ model, choices, metrics, now: deps.now, arrivedMs }, handlers);
}

function note(c: Context<AppEnv>, totals: GenerationTotals): void {
  const record = c.get("record");
  record.promptTokens = totals.promptTokens;
  record.cachedTokens = totals.cachedTokens;
  record.completionTokens = totals.completionTokens;
}

function gone(): InkstoneError {
  return new InkstoneError("interrupted", "the client went away before the answer was complete");
}

interface GrowingResult {
  content: string;
  reasoning: string;
  tokens: TokenOutput[];
  promptLogprobs: readonly TokenOutput[] | null;
  finishReason: FinishReason;
}

async function answerWhole(
  c: Context<AppEnv>,
  deps: AppDeps,
  options: AnswerOptions,
  signal: AbortSignal,
): Promise<Response> {
  const results = options.choices.map((): GrowingResult => ({
    content: "",
    reasoning: "",
    tokens: [],
    promptLogprobs: null,
    finishReason: "stop",
  }));
  const update = (choice: number, change: (result: GrowingResult) => void): void => {
    const result = results[choice];
    if (result !== undefined) change(result);
  };
  const ended = createDeferred<void>();
  const generation = create(deps, options, {
    onDelta: (choice, delta, tokens) =>
      update(choice, (result) => {
        result.content += delta.content;
        result.reasoning += delta.reasoning;
        result.tokens.push(...tokens);
      }),
    onPromptLogprobs: (choice, outputs) =>
      update(choice, (result) => {
        result.promptLogprobs = outputs;
      }),
    onFinish: (choice, reason) =>
      update(choice, (result) => {
        result.finishReason = reason;
      }),
    onEnd: (error) => (error === null ? ended.resolve() : ended.reject(error)),
  });
  const onAbort = (): void => {
    generation.cancel();
    ended.reject(gone());
  };
  generation.start();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await ended.promise;
  } finally {
    signal.removeEventListener("abort", onAbort);
    note(c, generation.totals());
  }
  const totals = generation.totals();
  return c.json(options.format.whole(results, toUsage(totals), toTimings(totals)));
}

function answerStream(c: Context<AppEnv>, deps: AppDeps, options: AnswerOptions): Response {
  const { format, includeUsage, choices } = options;
  const record = c.get("record");
  let nOpen = choices.length;
  let hasEnded = false;
  let release: (() => void) | null = null;
  const end = (): void => {
    hasEnded = true;
    note(c, generation.totals());
    release?.();
  };
  const events = createEventStream({
    maxUnreadBytes: deps.settings.maxUnreadBytes,
    disconnect: () => c.env?.outgoing?.destroy(),
    onGone() {
      generation.cancel();
      record.disconnected = true;
      end();
    },
  });
  const generation = create(deps, options, {
    onDelta: (choice, delta, tokens) => events.write(format.delta(choice, delta, tokens)),
    onPromptLogprobs: (choice, outputs) => events.write(format.promptLogprobs(choice, outputs)),
    onFinish(choice, reason) {
      nOpen--;
      const isLastEvent = nOpen === 0 && !includeUsage;
      events.write(format.finish(choice, reason, isLastEvent ? toTimings(generation.totals()) : null));
    },
    onEnd(error) {
      if (error === null) {
        const totals = generation.totals();
        events.write((includeUsage ? format.usage(toUsage(totals), toTimings(totals)) : "") + doneEvent);
      } else {
        record.errorCode = error.code;
        if (error.code === "internal_error") {
          deps.logger.error({ requestId: c.get("requestId"), error }, "a stream failed unexpectedly");
        }
        events.write(toEvent(JSON.stringify(toErrorBody(toPublicError(error, c.get("requestId"))))));
      }
      events.close();
      end();
    },
  });
  events.write(format.start());
  generation.start();
  if (!hasEnded) release = record.hold();
  return c.body(events.body, 200, eventStreamHeaders);
}
