import { describe, expect, test } from "vitest";
import { scriptedContinuation } from "./executor/scripted.ts";
import { createHarness } from "./testing/engine-harness.ts";
import { makeRequest, makeTokens } from "./testing/requests.ts";

const planned = (plan: { rows: readonly { requestId: string; tokens: readonly number[] }[] } | undefined) =>
  Object.fromEntries((plan?.rows ?? []).map((row) => [row.requestId, row.tokens.length]));

describe("continuous batching", () => {
  test("a step gives running sequences their token first and a prompt what is left of the budget", () => {
    const harness = createHarness({ maxNumBatchedTokens: 16, batchTokens: 16 });
    harness.submit(makeRequest("first", makeTokens(1, 10)));
    harness.step();
    harness.submit(makeRequest("long", makeTokens(2, 40)));
    harness.step();
    expect(planned(harness.plans.at(-1))).toEqual({ first: 1, long: 15 });
    harness.step();
    expect(planned(harness.plans.at(-1))).toEqual({ first: 1, long: 15 });
    harness.drain();
    harness.checkAnswers();
  });

  test("no more than maxNumSeqs run at once, in order of priority and then of arrival", () => {
    const harness = createHarness({ maxNumSeqs: 2 });
    harness.submit(makeRequest("low", makeTokens(1, 4), { priority: 5 }));
    harness.submit(makeRequest("normal", makeTokens(2, 4)));
    harness.submit(makeRequest("urgent", makeTokens(3, 4), { priority: -1 }));
    harness.step();
    expect(Object.keys(planned(harness.plans.at(-1)))).toEqual(["urgent", "normal"]);
    harness.drain();
  });

  test("an end-of-generation token ends the answer and is not part of it, unless it is ignored", () => {
    const prompt = makeTokens(1, 6);
    const natural = scriptedContinuation(prompt, 5);
    const end = natural[3]!;
    const firstEnd = natural.indexOf(end);
    const harness = createHarness({ endOfGeneration: end });
    harness.submit(makeRequest("stops", prompt, { maxTokens: 5, cacheNamespace: "a" }));
    harness.submit(makeRequest("goes on", prompt, { maxTokens: 5, ignoreEos: true, cacheNamespace: "b" }));
    harness.drain();
    expect(harness.answers.get("stops")).toMatchObject({
      tokens: natural.slice(0, firstEnd),
      finish: { reason: "stop" },
    });
    expect(harness.answers.get("goes on")).toMatchObject({ tokens: natural, finish: { reason: "length" } });
  });

  test("an answer that fills its sequence ends with 'length'", () => {
    const harness = createHarness({ sequenceTokens: 20 });
    harness.submit(makeRequest("r", makeTokens(1, 15), { maxTokens: 100 }));
    harness.drain();
    expect(harness.answers.get("r")).toMatchObject({ finish: { reason: "length" } });
    expect(harness.answers.get("r")!.tokens).toHaveLength(5);
  });

  test("an idle engine waits for a first batch, a busy one does not", () => {
    const harness = createHarness({ maxWaitMs: 50, maxNumSeqs: 4 });
    harness.submit(makeRequest("a", makeTokens(1, 4)));
    const first = harness.step();
    expect(first).toMatchObject({ idle: false, waitMs: 40 });
    expect(harness.plans).toHaveLength(0);
    harness.advance(40);
    harness.step();
    expect(planned(harness.plans.at(-1))).toEqual({ a: 4 });
    harness.submit(makeRequest("b", makeTokens(2, 4)));
    harness.step();
    expect(planned(harness.plans.at(-1))).toEqual({ a: 1, b: 4 });
    harness.drain();
  });

  test("a full batch starts without waiting", () => {
    const harness = createHarness({ maxWaitMs: 1000, maxNumSeqs: 2 });
    harness.submit(makeRequest("a", makeTokens(1, 4)));
    harness.submit(makeRequest("b", makeTokens(2, 4)));
    expect(harness.step().waitMs).toBe(0);
    harness.drain();
  });

  test("a request that must run alone shares no step, and is not starved", () => {
    const harness = createHarness({ maxNumSeqs: 4 });
    harness.submit(makeRequest("before", makeTokens(1, 4)));
    harness.step();
    harness.submit(makeRequest("suspect", makeTokens(2, 4), { alone: true }));
    harness.submit(makeRequest("after", makeTokens(3, 4)));
    harness.drain();
    for (const plan of harness.plans) {
      const ids = plan.rows.map((row) => row.requestId);
      if (ids.includes("suspect")) expect(ids).toEqual(["suspect"]);
    }
    const order = harness.plans.flatMap((plan) => plan.rows.map((row) => row.requestId));
    expect(order.indexOf("suspect")).toBeLessThan(order.indexOf("after"));
  });

  test("a request that ran alone for a while without harm runs with others again", () => {
    const harness = createHarness({ maxNumSeqs: 4 });
    harness.submit(makeRequest("suspect", makeTokens(2, 4), { alone: true, maxTokens: 60 }));
    harness.submit(makeRequest("after", makeTokens(3, 4), { maxTokens: 4 }));
    harness.drain();
    const together = harness.plans.findIndex((plan) => plan.rows.length === 2);
    expect(together).toBeGreaterThanOrEqual(16);
    expect(together).toBeLessThan(20);
  });

  test("a waiting request of a better class takes the place of a running one, an equal one does not", () => {
    const harness = createHarness({ maxNumSeqs: 1 });
    harness.submit(makeRequest("batch job", makeTokens(1, 4), { priority: 5, maxTokens: 40 }));
    harness.step();
    harness.submit(makeRequest("equal", makeTokens(2, 4), { priority: 5 }));
    harness.submit(makeRequest("urgent", makeTokens(3, 4)));
    harness.drain();
    harness.checkAnswers();
    const order = [...new Set(harness.plans.flatMap((plan) => plan.rows.map((row) => row.requestId)))];
    expect(order).toEqual(["batch job", "urgent", "equal"]);
    const timings = (id: string) => harness.answers.get(id)!.updates.at(-1)!.timings!;
    expect(timings("batch job").preemptions).toBe(1);
    expect(timings("equal").preemptions).toBe(0);
  });

  test("under traffic that never ends, requests of one class are admitted in the order of their arrival", () => {
    const harness = createHarness({ maxNumSeqs: 2 });
    for (let i = 0; i < 300; i++) {
      harness.submit(makeRequest(`r${i}`, makeTokens(i, 3 + (i % 40)), { maxTokens: 1 + (i % 3) }));
      harness.step();
      harness.step();
    }
    const firstSeen = new Map<string, number>();
    harness.plans.forEach((plan, at) => {
      for (const { requestId } of plan.rows) if (!firstSeen.has(requestId)) firstSeen.set(requestId, at);
    });
    const order = [...firstSeen.keys()];
    expect(order).toEqual(order.toSorted((a, b) => Number(a.slice(1)) - Number(b.slice(1))));
    expect(order.length).toBeGreaterThan(200);
    harness.drain();
  });

  test("an error of one row ends its request only", () => {
    const harness = createHarness();
    const step = harness.scripted.step.bind(harness.scripted);
    harness.scripted.step = (plan) => {
      const result = step(plan);
      if (result.status !== "done") return result;
      const rows = result.rows.map((row) =>
        row.requestId === "bad"
          ? { ...row, sampled: null, error: { code: "invalid_grammar" as const, message: "too ambiguous" } }
          : row,
      );
      return { status: "done", rows };
    };
    harness.submit(makeRequest("good", makeTokens(1, 4)));
    harness.submit(makeRequest("bad", makeTokens(2, 4)));
    harness.drain();
    harness.checkAnswers();
    expect(harness.answers.get("bad")!.finish).toMatchObject({
      reason: "error",
      errorCode: "invalid_grammar",
    });
    expect(harness.answers.get("good")!.finish).toEqual({ reason: "length" });
  });

  test("a cancelled request leaves the next step and keeps its part of the cache", () => {
    const harness = createHarness();
    harness.submit(makeRequest("r", makeTokens(1, 20), { maxTokens: 50 }));
    harness.step();
    harness.engine.cancel("r");
    harness.step();
    expect(harness.answers.get("r")!.finish).toEqual({ reason: "cancelled" });
    expect(harness.plans.filter((plan) => plan.rows.length > 0)).toHaveLength(1);
    expect(harness.engine.stats).toMatchObject({ running: 0, kvLiveTokens: 0, kvUsedTokens: 20 });
  });

  test("what does not fit a sequence is refused before it is queued", () => {
    const harness = createHarness({ sequenceTokens: 20 });
    expect(() => harness.submit(makeRequest("r", makeTokens(1, 20)))).toThrow(/at most 19 tokens.*has 20/);
    expect(() => harness.submit(makeRequest("e", []))).toThrow(/no tokens/);
    expect(harness.engine.stats.waiting).toBe(0);
  });

  test("a grammar that does not compile refuses the request only", () => {
    const harness = createHarness();
    const bad = makeRequest("bad", [1, 2]);
    expect(() => harness.submit({ ...bad, sampling: { ...bad.sampling, grammar: "invalid" } })).toThrow(
      /grammar/,
    );
    harness.submit(makeRequest("good", [1, 2]));
    harness.drain();
    harness.checkAnswers();
  });
});

describe.each(["unified", "streams"] as const)("prefix cache, %s layout", (kvLayout) => {
  const sizes = {
    kvLayout,
    kvTotalTokens: kvLayout === "unified" ? 512 : 2048,
    sequenceTokens: 256,
    sequenceIds: 8,
  };
  const system = makeTokens(5, 96);

  test("followers wait for their leader and compute only what is their own", () => {
    const harness = createHarness({ ...sizes, maxNumSeqs: 8 });
    for (let i = 0; i < 6; i++)
      harness.submit(makeRequest(`r${i}`, [...system, ...makeTokens(50 + i, 8)], { maxTokens: 1 }));
    harness.drain();
    harness.checkAnswers();
    const computed = harness.plans
      .flatMap((plan) => plan.rows)
      .reduce((sum, row) => sum + row.tokens.length, 0);
    expect(computed).toBeLessThan(system.length + 6 * 10);
    expect(harness.engine.stats.prefixCacheHits).toBeGreaterThanOrEqual(5 * system.length);
  });

  test("a conversation continues from its own cells", () => {
    const harness = createHarness(sizes);
    harness.submit(makeRequest("turn 1", system, { maxTokens: 4 }));
    harness.drain();
    const turn2 = [...system, ...harness.answers.get("turn 1")!.tokens, 1, 2, 3];
    harness.submit(makeRequest("turn 2", turn2, { maxTokens: 4 }));
    harness.drain();
    harness.checkAnswers();
    expect(harness.answers.get("turn 2")!.updates.at(-1)!.timings!.cachedTokens).toBe(system.length + 3);
  });

  test("namespaces share nothing", () => {
    const harness = createHarness(sizes);
    harness.submit(makeRequest("a", system, { cacheNamespace: "key a" }));
    harness.drain();
    harness.submit(makeRequest("b", system, { cacheNamespace: "key b" }));
    harness.drain();
    expect(harness.answers.get("b")!.updates.at(-1)!.timings!.cachedTokens).toBe(0);
  });

  test("without the prefix cache nothing is shared and nothing is kept", () => {
    const harness = createHarness({ ...sizes, prefixCache: false });
    for (const id of ["a", "b"]) harness.submit(makeRequest(id, system));
    harness.drain();
    harness.checkAnswers();
    expect(harness.engine.stats).toMatchObject({ kvUsedTokens: 0, prefixCacheHits: 0 });
  });

  test("prompt log-probabilities cover every token but the first, also over cached cells", () => {
    const harness = createHarness({ ...sizes, batchOutputs: 10 });
    harness.submit(makeRequest("warm", system));
    harness.drain();
    harness.submit(makeRequest("scored", system, { promptLogprobs: 1, maxTokens: 0 }));
    harness.submit(makeRequest("scored and continued", system, { promptLogprobs: 1, maxTokens: 2 }));
    harness.drain();
    for (const id of ["scored", "scored and continued"])
      expect(harness.answers.get(id)!.promptLogprobs!.map((output) => output.token)).toEqual(system.slice(1));
    expect(harness.answers.get("scored")).toMatchObject({ tokens: [], finish: { reason: "length" } });
    harness.checkAnswers();
  });
});

describe("a full cache", () => {
  test.each([true, false])(
    "prompt log-probabilities are whole after a preemption in mid-prompt (prefix cache: %s)",
    (prefixCache) => {
      const harness = createHarness({
        kvTotalTokens: 128,
        sequenceTokens: 128,
        maxNumSeqs: 3,
        prefixCache,
        batchOutputs: 8,
      });
      harness.submit(
        makeRequest("scored", makeTokens(1, 100), { promptLogprobs: 0, maxTokens: 1, priority: 1 }),
      );
      for (let i = 0; i < 6; i++) harness.step();
      harness.submit(makeRequest("urgent", makeTokens(2, 90), { maxTokens: 20 }));
      harness.drain();
      const scored = harness.answers.get("scored")!;
      expect(scored.updates.at(-1)!.timings!.preemptions).toBe(1);
      expect(scored.promptLogprobs!.map((output) => output.token)).toEqual(makeTokens(1, 100).slice(1));
    },
  );

  test("the least recently used prefix is evicted first, from its end", () => {
    const harness = createHarness({ kvTotalTokens: 200, sequenceTokens: 128 });
    const [old, recent, next] = [makeTokens(1, 80), makeTokens(2, 80), makeTokens(3, 100)];
    for (const [id, prompt] of Object.entries({ old, recent, next })) {
      harness.submit(makeRequest(id, prompt, { maxTokens: 1 }));
      harness.drain();
    }
    harness.submit(makeRequest("again", recent, { maxTokens: 1 }));
    harness.drain();
    expect(harness.answers.get("again")!.updates.at(-1)!.timings!.cachedTokens).toBe(79);
  });

  test("the request that is served last gives way, goes on later, and nobody fails", () => {
    const harness = createHarness({ kvTotalTokens: 128, sequenceTokens: 128, maxNumSeqs: 3 });
    for (let i = 0; i < 3; i++) harness.submit(makeRequest(`r${i}`, makeTokens(i, 20), { maxTokens: 60 }));
    harness.drain();
    harness.checkAnswers();
    expect(harness.engine.stats.preemptions).toBeGreaterThan(0);
    expect(harness.answers.get("r0")!.updates.at(-1)!.timings!.preemptions).toBe(0);
    expect(harness.answers.get("r2")!.updates.at(-1)!.timings!.preemptions).toBeGreaterThan(0);
  });

  test("when the library has less room than the books, idle cells go first, then the last request waits, then it fails alone", () => {
    const harness = createHarness({ kvTotalTokens: 256 });
    harness.submit(makeRequest("idle", makeTokens(1, 40), { maxTokens: 1 }));
    harness.drain();
    const step = harness.scripted.step.bind(harness.scripted);
    let refusals = 3;
    harness.scripted.step = (plan) =>
      plan.rows.length > 0 && refusals-- > 0 ? { status: "no-room" } : step(plan);
    harness.submit(makeRequest("a", makeTokens(2, 10)));
    harness.submit(makeRequest("b", makeTokens(3, 10)));
    harness.step();
    expect(harness.engine.stats.kvUsedTokens).toBe(0);
    harness.step();
    expect(harness.engine.stats).toMatchObject({ running: 1, waiting: 1 });
    harness.drain();
    harness.checkAnswers();
    refusals = 10;
    harness.submit(makeRequest("c", makeTokens(4, 10)));
    harness.drain();
    expect(harness.answers.get("c")!.finish).toMatchObject({ reason: "error", errorCode: "out_of_memory" });
  });
});

test("in the streams layout ids are taken from the lowest, so that a step is dense", () => {
  const harness = createHarness({ kvLayout: "streams", kvTotalTokens: 1024, sequenceIds: 8, maxNumSeqs: 8 });
  for (let i = 0; i < 3; i++) harness.submit(makeRequest(`r${i}`, makeTokens(i, 5), { maxTokens: 4 }));
  harness.step();
  expect(harness.plans.at(-1)!.rows.map((row) => row.sequence)).toEqual([0, 1, 2]);
  harness.drain();
});

test("in the streams layout a step computes at most eight prompts, in the unified one as many as fit", () => {
  for (const [kvLayout, prompts] of [
    ["streams", 8],
    ["unified", 12],
  ] as const) {
    const sizes = {
      kvLayout,
      kvTotalTokens: 16 * 128,
      sequenceIds: 16,
      batchTokens: 128,
      maxNumBatchedTokens: 128,
    };
    const harness = createHarness({ ...sizes, maxNumSeqs: 16 });
    for (let i = 0; i < 12; i++) harness.submit(makeRequest(`r${i}`, makeTokens(i, 5), { maxTokens: 4 }));
    harness.step();
    expect(harness.plans.at(-1)!.rows).toHaveLength(prompts);
    harness.drain();
    harness.checkAnswers();
  }
});
