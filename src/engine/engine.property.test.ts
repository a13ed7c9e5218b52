import fc from "fast-check";
import { expect, test } from "vitest";
import { createHarness } from "./testing/engine-harness.ts";
import { makeRequest, makeTokens } from "./testing/requests.ts";

/** Prompts of a few families, so that prefixes are shared, nested and identical. */
const promptArbitrary = fc
  .record({
    family: fc.integer({ min: 0, max: 2 }),
    shared: fc.integer({ min: 0, max: 60 }),
    own: fc.integer({ min: 0, max: 3 }),
    nOwn: fc.integer({ min: 1, max: 30 }),
  })
  .map(({ family, shared, own, nOwn }) => [
    ...makeTokens(family, 60).slice(0, shared),
    ...makeTokens(100 + own, nOwn),
  ]);

const actionArbitrary = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("submit" as const),
      prompt: promptArbitrary,
      maxTokens: fc.integer({ min: 1, max: 60 }),
      nResumed: fc.integer({ min: 0, max: 3 }),
      priority: fc.integer({ min: 0, max: 2 }),
      namespace: fc.constantFrom("a", "b"),
      alone: fc.integer({ min: 0, max: 20 }).map((n) => n === 0),
      promptLogprobs: fc.constantFrom(-1, -1, -1, -1, 2),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("cancel" as const), pick: fc.nat() }) },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant("step" as const), n: fc.integer({ min: 1, max: 6 }) }),
  },
);

const settingsArbitrary = fc.record({
  kvLayout: fc.constantFrom("unified" as const, "unified" as const, "streams" as const),
  kvTotalTokens: fc.integer({ min: 128, max: 300 }),
  maxNumSeqs: fc.integer({ min: 1, max: 6 }),
  sequenceIds: fc.integer({ min: 6, max: 9 }),
  maxNumBatchedTokens: fc.integer({ min: 6, max: 40 }),
  batchOutputs: fc.integer({ min: 6, max: 12 }),
  prefixCache: fc.boolean(),
});

test("any arrivals, cancellations, evictions and preemptions keep the books, and every request ends once with its own tokens", () => {
  let preemptions = 0;
  let evicted = 0;
  let hits = 0;
  fc.assert(
    fc.property(
      settingsArbitrary,
      fc.array(actionArbitrary, { minLength: 5, maxLength: 60 }),
      (settings, actions) => {
        const kvTotalTokens =
          settings.kvLayout === "streams" ? settings.sequenceIds * 128 : settings.kvTotalTokens;
        const harness = createHarness({
          ...settings,
          kvTotalTokens,
          batchTokens: settings.maxNumBatchedTokens,
        });
        const ids: string[] = [];
        for (const action of actions) {
          if (action.kind === "submit") {
            const id = `r${ids.length}`;
            ids.push(id);
            const { prompt, maxTokens, nResumed, priority, namespace, alone, promptLogprobs } = action;
            const outputTokens = makeTokens(7, Math.min(nResumed, maxTokens - 1));
            harness.submit(
              makeRequest(id, prompt, {
                outputTokens,
                maxTokens,
                priority,
                cacheNamespace: namespace,
                alone,
                promptLogprobs,
              }),
            );
          } else if (action.kind === "cancel" && ids.length > 0) {
            harness.engine.cancel(ids[action.pick % ids.length]!);
          } else if (action.kind === "step") {
            for (let i = 0; i < action.n; i++) harness.step();
          }
        }
        harness.drain();
        harness.checkAnswers();
        expect(harness.scripted.nSamplers).toBe(0);
        for (const id of ids) {
          const answer = harness.answers.get(id)!;
          if (answer.promptLogprobs === null) continue;
          const action = actions.filter((a) => a.kind === "submit")[ids.indexOf(id)]!;
          expect(answer.promptLogprobs.map((output) => output.token)).toEqual(action.prompt.slice(1));
        }
        const { stats } = harness.engine;
        expect(stats.kvLiveTokens).toBe(0);
        preemptions += stats.preemptions;
        evicted += stats.evictedTokens;
        hits += stats.prefixCacheHits;
      },
    ),
    { numRuns: 600, seed: 20260101 },
  );
  // the runs must have reached what they are meant to test
  expect(preemptions).toBeGreaterThan(20);
  expect(evicted).toBeGreaterThan(1000);
  expect(hits).toBeGreaterThan(1000);
});

test("thousands of requests against a cache of a few sequences all end, in both layouts", () => {
  for (const kvLayout of ["unified", "streams"] as const) {
    const harness = createHarness({
      kvLayout,
      kvTotalTokens: kvLayout === "unified" ? 400 : 1024,
      sequenceIds: 8,
      maxNumSeqs: 8,
    });
    for (let i = 0; i < 2000; i++) {
      const prompt = [...makeTokens(i % 7, i % 50), ...makeTokens(1000 + i, 5 + (i % 20))];
      harness.submit(makeRequest(`r${i}`, prompt, { maxTokens: 1 + (i % 30), priority: i % 3 }));
      if (i % 11 === 0) harness.engine.cancel(`r${i - 5}`);
      if (i % 3 === 0) harness.step();
    }
    harness.drain(100_000);
    harness.checkAnswers();
  }
});
