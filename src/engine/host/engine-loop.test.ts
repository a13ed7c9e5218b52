import { expect, test } from "vitest";
import { InkstoneError } from "../../errors.ts";
import { makeRequest } from "../testing/requests.ts";
import type { EngineStats, RequestUpdate } from "../types.ts";
import { EngineLoop } from "./engine-loop.ts";
import type { SteppedEngine } from "./engine-loop.ts";
import type { StepMessage } from "./messages.ts";

const noStats: EngineStats = {
  running: 0,
  waiting: 0,
  kvUsedTokens: 0,
  kvLiveTokens: 0,
  kvTotalTokens: 0,
  steps: 0,
  promptTokens: 0,
  generatedTokens: 0,
  preemptions: 0,
  prefixCacheQueries: 0,
  prefixCacheHits: 0,
  evictedTokens: 0,
};

type Outcome = ReturnType<SteppedEngine["step"]>;

/** An engine that plays outcomes back, then is idle. */
function play(outcomes: readonly (Outcome | Error)[], refuse?: InkstoneError) {
  let steps = 0;
  let backlog = 0;
  const posted: StepMessage[] = [];
  const fatal: unknown[] = [];
  const engine: SteppedEngine = {
    submit() {
      if (refuse !== undefined) throw refuse;
    },
    cancel() {},
    step() {
      const outcome = outcomes[steps] ?? { updates: [], idle: true, waitMs: 0 };
      steps += 1;
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
    get stats() {
      return { ...noStats, steps };
    },
  };
  const loop = new EngineLoop({
    engine,
    post: (message) => posted.push(message),
    backlog: () => backlog,
    onFatal: (error) => fatal.push(error),
  });
  return { loop, posted, fatal, steps: () => steps, setBacklog: (n: number) => (backlog = n) };
}

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};
const goesOn = (updates: RequestUpdate[]): Outcome => ({ updates, idle: false, waitMs: 0 });

test("one message a step; a lone token is two numbers", async () => {
  const full: RequestUpdate = { id: "a", tokens: [{ token: 4 }], finish: { reason: "length" } };
  const { loop, posted } = play([
    goesOn([{ id: "a", tokens: [{ token: 3 }] }]),
    goesOn([]),
    { updates: [full], idle: true, waitMs: 0 },
  ]);
  loop.submit(9, makeRequest("a", [1]));
  await turns(6);
  expect(posted.map(({ plain, updates }) => ({ plain, updates }))).toEqual([
    { plain: [9, 3], updates: [] },
    { plain: [], updates: [] },
    { plain: [], updates: [full] },
  ]);
  expect(loop.handles.size).toBe(0);
});

test("log-probabilities travel in full", async () => {
  const update: RequestUpdate = { id: "a", tokens: [{ token: 3, logprob: -1, top: [] }] };
  const { loop, posted } = play([goesOn([update])]);
  loop.submit(1, makeRequest("a", [1]));
  await turns(4);
  expect(posted[0]).toMatchObject({ plain: [], updates: [update] });
});

test("stops stepping when idle, and steps again for a new request", async () => {
  const { loop, steps } = play([]);
  loop.submit(1, makeRequest("a", [1]));
  await turns(5);
  expect(steps()).toBe(1);
  loop.cancel("a");
  await turns(5);
  expect(steps()).toBe(2);
});

test("a refused request ends with its error and is not stepped for", async () => {
  const { loop, posted, steps } = play([], new InkstoneError("invalid_grammar", "bad"));
  loop.submit(1, makeRequest("a", [1]));
  await turns(3);
  expect(posted[0]?.updates).toEqual([
    { id: "a", tokens: [], finish: { reason: "error", errorCode: "invalid_grammar", message: "bad" } },
  ]);
  expect([steps(), loop.handles.size]).toEqual([0, 0]);
});

test("an error in a step is fatal and ends the stepping", async () => {
  const error = new Error("library");
  const { loop, fatal, steps } = play([error]);
  loop.submit(1, makeRequest("a", [1]));
  await turns(3);
  loop.submit(2, makeRequest("b", [1]));
  await turns(3);
  expect(fatal).toEqual([error]);
  expect(steps()).toBe(1);
});

test("waits for a parent that does not take its messages", async () => {
  const { loop, steps, setBacklog } = play([]);
  setBacklog(1_000);
  loop.submit(1, makeRequest("a", [1]));
  await turns(5);
  expect(steps()).toBe(0);
  setBacklog(0);
  while (steps() === 0) await new Promise((resolve) => setTimeout(resolve, 1));
});
