/**
 * What the server counts, under vLLM's names with the prefix `inkstone:`, so that dashboards made for vLLM move by a rename.
 */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import {
  choicesBuckets,
  countBuckets,
  interTokenBuckets,
  requestSecondsBuckets,
  ttftBuckets,
} from "./buckets.ts";

/** Counters and gauges of one engine at the time of a scrape; totals never fall. */
export interface EngineSnapshot {
  readonly modelName: string;
  readonly restarts: number;
  readonly stats: {
    readonly running: number;
    readonly waiting: number;
    readonly kvUsedTokens: number;
    readonly kvTotalTokens: number;
    readonly promptTokens: number;
    readonly generatedTokens: number;
    readonly preemptions: number;
    readonly prefixCacheQueries: number;
    readonly prefixCacheHits: number;
    readonly evictedTokens: number;
    readonly steps: number;
  };
}

/** How a request ended, in vLLM's words. */
export type FinishedReason = "stop" | "length" | "abort" | "error";

/** The facts of one request to one engine when it has ended. */
export interface FinishedRequest {
  readonly reason: FinishedReason;
  readonly promptTokens: number;
  readonly generatedTokens: number;
  readonly e2eSeconds: number;
  /** Absent when the request never ran. */
  readonly queueSeconds?: number;
  readonly prefillSeconds?: number;
  readonly decodeSeconds?: number;
}

/** What one prompt of a request asked for, and what its choices came to. */
export interface FinishedPrompt {
  /** Choices. */
  readonly n: number;
  /** Most tokens that each might have. */
  readonly maxTokens: number;
  /** Tokens of the longest. */
  readonly mostGeneratedTokens: number;
}

/** Observations of one model. */
export interface ModelMetrics {
  /** Seconds from the request's arrival to its first token. */
  firstToken(seconds: number): void;
  /** Seconds between two updates of one stream. Called for every token: it costs about a microsecond. */
  interToken(seconds: number): void;
  /** Once for each request to the engine. */
  finished(request: FinishedRequest): void;
  /** Once for each prompt, when all its choices have ended. */
  promptFinished(prompt: FinishedPrompt): void;
}

export interface Metrics {
  /** The observations of one served model; the same object each time. */
  model(modelName: string): ModelMetrics;
  /** One HTTP request; `route` is the pattern, not the path, so that the label stays bounded. */
  httpRequest(route: string, method: string, status: number, seconds: number): void;
  /** Where the engines' gauges and counters come from at each scrape. */
  setEngines(source: () => readonly EngineSnapshot[]): void;
  /** The text that Prometheus reads. */
  render(): Promise<string>;
  readonly contentType: string;
}

const prefix = "inkstone:";
const modelLabel = ["model_name"] as const;

/** Metrics in a registry of their own. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  let engines: () => readonly EngineSnapshot[] = () => [];

  const gauge = (name: string, help: string, read: (engine: EngineSnapshot) => number) =>
    new Gauge({
      name: prefix + name,
      help,
      labelNames: modelLabel,
      registers: [registry],
      collect() {
        this.reset();
        for (const engine of engines()) this.set({ model_name: engine.modelName }, read(engine));
      },
    });
  const engineCounter = (name: string, help: string, read: (engine: EngineSnapshot) => number) =>
    new Counter({
      name: prefix + name,
      help,
      labelNames: modelLabel,
      registers: [registry],
      collect() {
        this.reset();
        for (const engine of engines()) this.inc({ model_name: engine.modelName }, read(engine));
      },
    });
  const histogram = (name: string, help: string, buckets: readonly number[]) =>
    new Histogram({
      name: prefix + name,
      help,
      labelNames: modelLabel,
      registers: [registry],
      buckets: [...buckets],
    });

  gauge("num_requests_running", "Requests in the engine's batches.", (e) => e.stats.running);
  gauge("num_requests_waiting", "Requests that wait to be processed.", (e) => e.stats.waiting);
  gauge("kv_cache_usage_perc", "KV cache usage; 1 means full.", (e) =>
    e.stats.kvTotalTokens === 0 ? 0 : e.stats.kvUsedTokens / e.stats.kvTotalTokens,
  );
  engineCounter(
    "prefix_cache_queries_total",
    "Tokens looked up in the prefix cache.",
    (e) => e.stats.prefixCacheQueries,
  );
  engineCounter(
    "prefix_cache_hits_total",
    "Tokens found in the prefix cache.",
    (e) => e.stats.prefixCacheHits,
  );
  engineCounter(
    "prefix_cache_evicted_tokens_total",
    "Tokens evicted from the prefix cache.",
    (e) => e.stats.evictedTokens,
  );
  engineCounter("num_preemptions_total", "Preemptions.", (e) => e.stats.preemptions);
  engineCounter("prompt_tokens_total", "Prompt tokens processed.", (e) => e.stats.promptTokens);
  engineCounter("generation_tokens_total", "Tokens generated.", (e) => e.stats.generatedTokens);
  engineCounter("engine_steps_total", "Steps of the engine.", (e) => e.stats.steps);
  engineCounter(
    "engine_restarts_total",
    "Times that the engine process was started again.",
    (e) => e.restarts,
  );

  const success = new Counter({
    name: `${prefix}request_success_total`,
    help: "Requests that ended, by reason.",
    labelNames: ["model_name", "finished_reason"] as const,
    registers: [registry],
  });
  const ttft = histogram("time_to_first_token_seconds", "Time to the first token.", ttftBuckets);
  const interToken = histogram(
    "inter_token_latency_seconds",
    "Time between the tokens of a stream.",
    interTokenBuckets,
  );
  const perOutputToken = histogram(
    "time_per_output_token_seconds",
    "The same as inter_token_latency_seconds, under its older name.",
    interTokenBuckets,
  );
  const perToken = histogram(
    "request_time_per_output_token_seconds",
    "Mean time per generated token of a request, without the first.",
    interTokenBuckets,
  );
  const e2e = histogram("e2e_request_latency_seconds", "Whole time of a request.", requestSecondsBuckets);
  const queue = histogram(
    "request_queue_time_seconds",
    "Time of a request in the queue.",
    requestSecondsBuckets,
  );
  const prefill = histogram(
    "request_prefill_time_seconds",
    "Time of a request in prefill.",
    requestSecondsBuckets,
  );
  const decode = histogram(
    "request_decode_time_seconds",
    "Time of a request in decode.",
    requestSecondsBuckets,
  );
  const inference = histogram(
    "request_inference_time_seconds",
    "Time of a request in prefill and decode.",
    requestSecondsBuckets,
  );
  const promptTokens = histogram("request_prompt_tokens", "Prompt tokens of a request.", countBuckets);
  const generatedTokens = histogram(
    "request_generation_tokens",
    "Generated tokens of a request.",
    countBuckets,
  );

  const mostGeneratedTokens = histogram(
    "request_max_num_generation_tokens",
    "Generated tokens of the longest of a prompt's choices.",
    countBuckets,
  );
  const paramsN = histogram("request_params_n", "Choices asked for.", choicesBuckets);
  const paramsMaxTokens = histogram("request_params_max_tokens", "Most tokens asked for.", countBuckets);

  const histograms = [
    ttft,
    interToken,
    perOutputToken,
    perToken,
    e2e,
    queue,
    prefill,
    decode,
    inference,
    promptTokens,
    generatedTokens,
    mostGeneratedTokens,
    paramsN,
    paramsMaxTokens,
  ];

  const httpSeconds = new Histogram({
    name: `${prefix}http_request_duration_seconds`,
    help: "HTTP requests by route and status.",
    labelNames: ["route", "method", "status"] as const,
    registers: [registry],
    buckets: [...requestSecondsBuckets],
  });

  const createModelMetrics = (modelName: string): ModelMetrics => {
    const labels = { model_name: modelName };
    for (const reason of ["stop", "length", "abort", "error"] as const) {
      success.inc({ model_name: modelName, finished_reason: reason }, 0);
    }
    for (const each of histograms) each.zero(labels);
    return {
      firstToken: (seconds) => ttft.observe(labels, seconds),
      interToken(seconds) {
        interToken.observe(labels, seconds);
        perOutputToken.observe(labels, seconds);
      },
      finished(request) {
        success.inc({ model_name: modelName, finished_reason: request.reason });
        e2e.observe(labels, request.e2eSeconds);
        promptTokens.observe(labels, request.promptTokens);
        generatedTokens.observe(labels, request.generatedTokens);
        if (request.queueSeconds !== undefined) queue.observe(labels, request.queueSeconds);
        if (request.prefillSeconds === undefined || request.decodeSeconds === undefined) return;
        prefill.observe(labels, request.prefillSeconds);
        decode.observe(labels, request.decodeSeconds);
        inference.observe(labels, request.prefillSeconds + request.decodeSeconds);
        if (request.generatedTokens > 1) {
          perToken.observe(labels, request.decodeSeconds / (request.generatedTokens - 1));
        }
      },
      promptFinished(prompt) {
        paramsN.observe(labels, prompt.n);
        paramsMaxTokens.observe(labels, prompt.maxTokens);
        mostGeneratedTokens.observe(labels, prompt.mostGeneratedTokens);
      },
    };
  };

  const models = new Map<string, ModelMetrics>();
  return {
    model(modelName) {
      let metrics = models.get(modelName);
      if (metrics === undefined) {
        metrics = createModelMetrics(modelName);
        models.set(modelName, metrics);
      }
      return metrics;
    },
    httpRequest(route, method, status, seconds) {
      httpSeconds.observe({ route, method, status: String(status) }, seconds);
    },
    setEngines(source) {
      engines = source;
    },
    render: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
