import { beforeEach, describe, expect, test } from "vitest";
import { makeRequest } from "../testing/requests.ts";
import type { RequestTimings, RequestUpdate } from "../types.ts";
import type { StepMessage } from "./messages.ts";
import { RequestLedger } from "./request-ledger.ts";

let nowMs = 0;
let finished = 0;
let ledger: RequestLedger;
let updates: RequestUpdate[] = [];

beforeEach(() => {
  nowMs = 0;
  finished = 0;
  updates = [];
  ledger = new RequestLedger({
    now: () => nowMs,
    onFinish: () => (finished += 1),
    onListenerError: (_, error) => {
      throw error;
    },
  });
});

function add(id: string): number {
  return ledger.add(makeRequest(id, [1, 2]), (update) => updates.push(update)).handle;
}

function step(plain: number[], others: RequestUpdate[] = []): StepMessage {
  return { type: "step", plain, updates: others, stats: [] };
}

const timings = (values: Partial<RequestTimings>): RequestTimings => ({
  queueMs: 0,
  prefillMs: 0,
  decodeMs: 0,
  cachedTokens: 0,
  preemptions: 0,
  ...values,
});

test("tokens go to the request whose handle stands before them", () => {
  const [a, b] = [add("a"), add("b")];
  ledger.applyStep(step([b, 7, a, 8]));
  ledger.applyStep(step([99, 1]));
  expect(updates).toEqual([
    { id: "b", tokens: [{ token: 7 }] },
    { id: "a", tokens: [{ token: 8 }] },
  ]);
});

test("nothing comes after the end of a request", () => {
  const a = add("a");
  ledger.applyStep(step([], [{ id: "a", tokens: [], finish: { reason: "stop" } }]));
  ledger.applyStep(step([a, 1], [{ id: "a", tokens: [], finish: { reason: "stop" } }]));
  expect(updates).toHaveLength(1);
  expect([ledger.size, finished]).toEqual([0, 1]);
});

test("an id in use is refused", () => {
  add("a");
  expect(() => add("a")).toThrow(expect.objectContaining({ code: "internal_error" }));
});

describe("a crash", () => {
  test("resubmits with all tokens so far, what ran first", () => {
    add("waiting");
    const b = add("running");
    ledger.markRunning([b]);
    ledger.applyStep(step([b, 5]));
    ledger.applyStep(step([], [{ id: "running", tokens: [{ token: 6 }, { token: 7 }] }]));
    expect(ledger.crash()).toBe(0);
    const requests = ledger.resume().map(({ request }) => request);
    expect(requests.map(({ id, outputTokens }) => [id, outputTokens])).toEqual([
      ["running", [5, 6, 7]],
      ["waiting", []],
    ]);
  });

  test("counts only for what was running; the third ends it", () => {
    const [a, b] = [add("a"), add("b")];
    const alone = (): boolean[] => ledger.resume().map(({ request }) => request.alone);
    ledger.markRunning([a, b]);
    ledger.markRunning([a]);
    expect(ledger.crash()).toBe(0);
    expect(alone()).toEqual([false, false]);
    ledger.markRunning([a]);
    expect(ledger.crash()).toBe(0);
    expect(alone()).toEqual([true, false]);
    expect(ledger.crash()).toBe(0);
    ledger.markRunning([a]);
    expect(ledger.crash()).toBe(1);
    expect(updates).toMatchObject([{ id: "a", finish: { reason: "error", errorCode: "engine_crashed" } }]);
    expect(ledger.size).toBe(1);
  });

  test("is forgotten when its request went on for a while without harm", () => {
    const a = add("a");
    for (let crash = 0; crash < 6; crash++) {
      ledger.markRunning([a]);
      expect(ledger.crash()).toBe(0);
      expect(ledger.resume()[0]!.request.alone).toBe(crash > 0);
      for (let i = 0; i < 16; i++) ledger.applyStep(step([a, i]));
    }
    expect(updates.filter(({ finish }) => finish !== undefined)).toEqual([]);
  });

  test("ends what was cancelled", () => {
    add("a");
    expect(ledger.cancel("a")).toBe(true);
    expect(ledger.crash()).toBe(0);
    expect(updates).toMatchObject([{ id: "a", finish: { reason: "cancelled" } }]);
    expect(ledger.cancel("a")).toBe(false);
  });

  test("does not ask again for prompt log-probabilities that were delivered", () => {
    const request = makeRequest("a", [1, 2], { promptLogprobs: 3 });
    const { handle } = ledger.add(request, () => {});
    ledger.markRunning([handle]);
    ledger.crash();
    expect(ledger.resume()[0]?.request.promptLogprobs).toBe(3);
    ledger.applyStep(step([], [{ id: "a", tokens: [{ token: 1 }], promptLogprobs: [] }]));
    ledger.crash();
    expect(ledger.resume()[0]?.request.promptLogprobs).toBe(-1);
  });

  test("the timings are those of the whole request", () => {
    const a = add("a");
    ledger.markRunning([a]);
    nowMs = 30;
    const first = timings({ queueMs: 10, prefillMs: 20, cachedTokens: 1 });
    ledger.applyStep(step([], [{ id: "a", tokens: [{ token: 1 }], timings: first }]));
    ledger.crash();
    ledger.resume();
    nowMs = 100;
    const again = timings({ queueMs: 1, prefillMs: 2, cachedTokens: 0 });
    ledger.applyStep(step([], [{ id: "a", tokens: [{ token: 2 }], timings: again }]));
    nowMs = 130;
    const last = timings({ ...again, decodeMs: 30, preemptions: 2 });
    ledger.applyStep(step([], [{ id: "a", tokens: [], finish: { reason: "stop" }, timings: last }]));
    expect(updates.map((update) => update.timings)).toEqual([
      first,
      undefined,
      { queueMs: 10, prefillMs: 20, decodeMs: 100, cachedTokens: 1, preemptions: 3 },
    ]);
  });

  test("time without an engine counts as waiting", () => {
    add("a");
    nowMs = 500;
    ledger.resume();
    nowMs = 520;
    const first = timings({ queueMs: 1, prefillMs: 15 });
    ledger.applyStep(step([], [{ id: "a", tokens: [{ token: 1 }], timings: first }]));
    expect(updates[0]?.timings).toMatchObject({ queueMs: 505, prefillMs: 15, preemptions: 0 });
  });
});
