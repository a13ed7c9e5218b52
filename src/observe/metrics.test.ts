import { describe, expect, test } from "vitest";
import { createMetrics } from "./metrics.ts";
import type { EngineSnapshot } from "./metrics.ts";

function snapshot(stats: Partial<EngineSnapshot["stats"]> = {}): EngineSnapshot {
  return {
    modelName: "m",
    restarts: 2,
    stats: {
      running: 3,
      waiting: 4,
      kvUsedTokens: 25,
      kvTotalTokens: 100,
      promptTokens: 10,
      generatedTokens: 20,
      preemptions: 1,
      prefixCacheQueries: 50,
      prefixCacheHits: 30,
      evictedTokens: 5,
      steps: 9,
      ...stats,
    },
  };
}

describe("createMetrics", () => {
  test("an engine's counters are read at each scrape", async () => {
    const metrics = createMetrics();
    let engine = snapshot();
    metrics.setEngines(() => [engine]);
    const first = await metrics.render();
    expect(first).toContain('inkstone:num_requests_running{model_name="m"} 3');
    expect(first).toContain('inkstone:num_requests_waiting{model_name="m"} 4');
    expect(first).toContain('inkstone:kv_cache_usage_perc{model_name="m"} 0.25');
    expect(first).toContain('inkstone:prefix_cache_queries_total{model_name="m"} 50');
    expect(first).toContain('inkstone:prefix_cache_hits_total{model_name="m"} 30');
    expect(first).toContain('inkstone:num_preemptions_total{model_name="m"} 1');
    expect(first).toContain('inkstone:prompt_tokens_total{model_name="m"} 10');
    expect(first).toContain('inkstone:generation_tokens_total{model_name="m"} 20');
    expect(first).toContain('inkstone:engine_restarts_total{model_name="m"} 2');
    engine = snapshot({ generatedTokens: 21 });
    expect(await metrics.render()).toContain('inkstone:generation_tokens_total{model_name="m"} 21');
  });

  test("a cache of no cells is not a division by zero", async () => {
    const metrics = createMetrics();
    metrics.setEngines(() => [snapshot({ kvTotalTokens: 0, kvUsedTokens: 0 })]);
    expect(await metrics.render()).toContain('inkstone:kv_cache_usage_perc{model_name="m"} 0');
  });

  test("what a prompt asked for", async () => {
    const metrics = createMetrics();
    metrics.model("m").promptFinished({ n: 2, maxTokens: 100, mostGeneratedTokens: 7 });
    const text = await metrics.render();
    expect(text).toContain('inkstone:request_params_n_sum{model_name="m"} 2');
    expect(text).toContain('inkstone:request_params_max_tokens_sum{model_name="m"} 100');
    expect(text).toContain('inkstone:request_max_num_generation_tokens_sum{model_name="m"} 7');
  });

  test("a finished request enters each histogram once", async () => {
    const metrics = createMetrics();
    const model = metrics.model("m");
    model.firstToken(0.03);
    model.interToken(0.02);
    model.finished({
      reason: "stop",
      promptTokens: 12,
      generatedTokens: 3,
      e2eSeconds: 1,
      queueSeconds: 0.1,
      prefillSeconds: 0.4,
      decodeSeconds: 0.5,
    });
    const text = await metrics.render();
    expect(text).toContain('inkstone:request_success_total{model_name="m",finished_reason="stop"} 1');
    expect(text).toContain('inkstone:request_success_total{model_name="m",finished_reason="abort"} 0');
    expect(text).toContain('inkstone:time_to_first_token_seconds_bucket{le="0.04",model_name="m"} 1');
    expect(text).toContain('inkstone:time_to_first_token_seconds_bucket{le="0.02",model_name="m"} 0');
    for (const [name, sum] of [
      ["inter_token_latency_seconds", 0.02],
      ["time_per_output_token_seconds", 0.02],
      ["request_time_per_output_token_seconds", 0.25],
      ["e2e_request_latency_seconds", 1],
      ["request_queue_time_seconds", 0.1],
      ["request_prefill_time_seconds", 0.4],
      ["request_decode_time_seconds", 0.5],
      ["request_inference_time_seconds", 0.9],
      ["request_prompt_tokens", 12],
      ["request_generation_tokens", 3],
    ] as const) {
      expect(text).toContain(`inkstone:${name}_sum{model_name="m"} ${sum}\n`);
      expect(text).toContain(`inkstone:${name}_count{model_name="m"} 1\n`);
    }
  });

  test("a request that never ran counts, without the times of a run", async () => {
    const metrics = createMetrics();
    metrics.model("m").finished({ reason: "abort", promptTokens: 1, generatedTokens: 0, e2eSeconds: 0.1 });
    const text = await metrics.render();
    expect(text).toContain('finished_reason="abort"} 1');
    expect(text).toContain('inkstone:request_decode_time_seconds_count{model_name="m"} 0');
  });

  test("two registries do not share values", async () => {
    createMetrics().httpRequest("/v1/models", "GET", 200, 0.1);
    expect(await createMetrics().render()).not.toContain('route="/v1/models"');
  });

  test("HTTP requests by route, method and status", async () => {
    const metrics = createMetrics();
    metrics.httpRequest("/v1/models/:id", "GET", 404, 0.1);
    expect(await metrics.render()).toContain(
      'inkstone:http_request_duration_seconds_count{route="/v1/models/:id",method="GET",status="404"} 1',
    );
  });
});
