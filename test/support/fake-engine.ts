/** An engine without a model: it answers with scripted bytes, at once or when a test says so. */
import { setImmediate } from "node:timers";
import type { EngineClient, EngineState } from "../../src/engine/client.ts";
import type {
  EngineInfo,
  EngineRequest,
  EngineStats,
  RequestTimings,
  RequestUpdate,
  TokenOutput,
} from "../../src/engine/types.ts";
import { InkstoneError } from "../../src/errors.ts";
import { createByteVocabulary, tokenizeBytes } from "./fake-vocabulary.ts";

export interface FakeEngineOptions {
  /** What is answered; one byte a step, then the end. Default "Hello!". */
  readonly reply?: string | ((request: EngineRequest) => string);
  /** "auto": a step each turn of the event loop. "manual": only by `step`. */
  readonly pace?: "auto" | "manual";
  readonly contextWindow?: number;
  /** Requests beyond this are refused with `queue_full`. */
  readonly maxRequests?: number;
  readonly cachedTokens?: number;
  readonly chatTemplate?: string;
}

/** What tests look at and steer. */
export interface FakeEngine extends EngineClient {
  state: EngineState;
  /** All requests that were submitted. */
  readonly requests: EngineRequest[];
  /** Ids that were cancelled while they ran. */
  readonly cancelled: string[];
  /** Number of requests that run. */
  readonly nRunning: number;
  /** How many texts were tokenised. */
  readonly nTokenized: number;
  /** One token for every request that runs. */
  step(): void;
  /** Sends an update to a running request. */
  send(id: string, update: Omit<RequestUpdate, "id">): void;
  /** Resolves when so many requests run. */
  waitRunning(count: number): Promise<void>;
}

interface Running {
  readonly request: EngineRequest;
  readonly reply: Uint8Array;
  nSent: number;
  promptSent: boolean;
  readonly onUpdate: (update: RequestUpdate) => void;
}

/** A fake engine; `close` ends what runs. */
export function createFakeEngine(options: FakeEngineOptions = {}): FakeEngine {
  const { reply = "Hello!", pace = "auto", contextWindow = 2048, maxRequests = 1000 } = options;
  const vocabulary = createByteVocabulary(options.chatTemplate);
  const running = new Map<string, Running>();
  const requests: EngineRequest[] = [];
  const cancelled: string[] = [];
  let nTokenized = 0;
  let isScheduled = false;
  const timings: RequestTimings = {
    queueMs: 1,
    prefillMs: 20,
    decodeMs: 40,
    cachedTokens: options.cachedTokens ?? 0,
    preemptions: 0,
  };

  const finish = (entry: Running, update: Omit<RequestUpdate, "id">): void => {
    running.delete(entry.request.id);
    entry.onUpdate({ id: entry.request.id, timings, ...update });
  };

  const stepOne = (entry: Running): void => {
    const { request } = entry;
    const promptLogprobs =
      request.promptLogprobs >= 0 && !entry.promptSent
        ? request.promptTokens.slice(1).map((token) => toOutput(token, request.promptLogprobs))
        : undefined;
    entry.promptSent = true;
    const more = promptLogprobs === undefined ? {} : { promptLogprobs };
    if (request.maxTokens === 0) return finish(entry, { tokens: [], finish: { reason: "length" }, ...more });
    const token = entry.reply[entry.nSent];
    if (token === undefined) return finish(entry, { tokens: [], finish: { reason: "stop" }, ...more });
    entry.nSent++;
    const tokens = [toOutput(token, request.topLogprobs)];
    if (entry.nSent >= request.maxTokens) {
      return finish(entry, { tokens, finish: { reason: "length" }, ...more });
    }
    entry.onUpdate({
      id: request.id,
      tokens,
      ...more,
      ...(entry.nSent === 1 && { timings: { ...timings, decodeMs: 0 } }),
    });
  };
  const step = (): void => {
    for (const entry of [...running.values()]) if (running.has(entry.request.id)) stepOne(entry);
  };
  const schedule = (): void => {
    if (isScheduled || pace === "manual") return;
    isScheduled = true;
    setImmediate(() => {
      isScheduled = false;
      step();
      if (running.size > 0) schedule();
    });
  };

  return {
    modelKey: "fake",
    info: createInfo(contextWindow, vocabulary.nTokens),
    vocabulary,
    state: "ready",
    get stats(): EngineStats {
      return { ...emptyStats, running: running.size };
    },
    restarts: 0,
    requests,
    cancelled,
    get nRunning() {
      return running.size;
    },
    get nTokenized() {
      return nTokenized;
    },
    tokenize(text, { parseSpecial }) {
      nTokenized++;
      return Promise.resolve(tokenizeBytes(text, parseSpecial));
    },
    checkGrammar(grammar) {
      if (grammar.includes("root")) return Promise.resolve();
      return Promise.reject(
        new InkstoneError("invalid_grammar", "the grammar has no rule root", { param: "grammar" }),
      );
    },
    submit(request, onUpdate) {
      if (running.size >= maxRequests) {
        throw new InkstoneError("queue_full", `${running.size} requests wait already`, { retryAfterS: 7 });
      }
      requests.push(request);
      const text = typeof reply === "string" ? reply : reply(request);
      running.set(request.id, {
        request,
        reply: Buffer.from(text),
        nSent: 0,
        promptSent: false,
        onUpdate,
      });
      schedule();
    },
    cancel(id) {
      const entry = running.get(id);
      if (entry === undefined) return;
      cancelled.push(id);
      finish(entry, { tokens: [], finish: { reason: "cancelled" } });
    },
    close() {
      for (const id of running.keys()) this.cancel(id);
      return Promise.resolve();
    },
    step,
    send(id, update) {
      const entry = running.get(id);
      if (entry === undefined) throw new Error(`${id} does not run`);
      if (update.finish !== undefined) running.delete(id);
      entry.onUpdate({ id, ...update });
    },
    async waitRunning(count) {
      while (running.size !== count) await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

/** A token with made-up log-probabilities: the token itself is the best, its successors follow. */
function toOutput(token: number, topLogprobs: number): TokenOutput {
  if (topLogprobs < 0) return { token };
  const top = Array.from({ length: topLogprobs }, (_, index) => ({
    token: (token + index) % 256,
    logprob: -0.5 - index,
  }));
  return { token, logprob: -0.5, top };
}

const emptyStats: EngineStats = {
  running: 0,
  waiting: 2,
  kvUsedTokens: 10,
  kvLiveTokens: 5,
  kvTotalTokens: 40,
  steps: 7,
  promptTokens: 11,
  generatedTokens: 13,
  preemptions: 1,
  prefixCacheQueries: 17,
  prefixCacheHits: 3,
  evictedTokens: 0,
};

function createInfo(contextWindow: number, nVocab: number): EngineInfo {
  return {
    architecture: "fake",
    description: "fake",
    nParams: 1,
    sizeBytes: 1,
    nVocab,
    nCtxTrain: contextWindow,
    contextWindow,
    kvLayout: "unified",
    kvTotalTokens: 40,
    kvBytes: 0,
    maxNumSeqs: 8,
    maxNumBatchedTokens: 512,
    flashAttn: false,
    threads: 1,
    processor: "CPU",
    libraryVersion: "none",
    loadMs: 0,
  };
}
