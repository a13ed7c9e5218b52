import { expect, test } from "vitest";
import { createScriptedExecutor } from "../executor/scripted.ts";
import type { PlanRow } from "../executor/executor.ts";
import { greedy } from "../testing/requests.ts";
import { watchExecutor } from "./executor-watch.ts";

const spec = { sampling: greedy, promptTokens: [], outputTokens: [], topLogprobs: -1, promptLogprobs: -1 };

test("tells the requests of a step before it, and only when they change", () => {
  const announced: (readonly string[])[] = [];
  const executor = watchExecutor(
    createScriptedExecutor({
      kvLayout: "unified",
      kvTotalTokens: 100,
      sequenceTokens: 10,
      sequenceIds: 4,
      batchTokens: 10,
      batchOutputs: 10,
    }),
    (ids) => announced.push(ids),
  );
  const row = (requestId: string, sequence: number, start: number): PlanRow => ({
    requestId,
    sequence,
    start,
    tokens: [1],
    outputs: "last",
  });
  executor.openSampler("a", spec);
  executor.openSampler("b", spec);
  expect(announced).toEqual([]);
  executor.step({ operations: [], rows: [row("a", 0, 0)] });
  executor.step({ operations: [], rows: [row("a", 0, 1), row("b", 1, 0)] });
  executor.step({ operations: [], rows: [row("a", 0, 2), row("b", 1, 1)] });
  expect(announced).toEqual([["a"], ["a", "b"]]);
  executor.openSampler("c", { ...spec, sampling: { ...greedy, grammar: "root ::= [a-z]" } });
  expect(announced.at(-1)).toEqual(["c"]);
  expect(() => executor.step({ operations: [], rows: [row("a", 0, 9)] })).toThrow();
  expect(announced.at(-1)).toEqual(["a"]);
});

test("tells of every step that computes a prompt, with its size", () => {
  const announced: [readonly string[], number][] = [];
  const limits = {
    kvTotalTokens: 100,
    sequenceTokens: 50,
    sequenceIds: 4,
    batchTokens: 10,
    batchOutputs: 10,
  };
  const executor = watchExecutor(
    createScriptedExecutor({ kvLayout: "unified", ...limits }),
    (ids, nPromptTokens) => announced.push([ids, nPromptTokens]),
  );
  executor.openSampler("a", spec);
  for (const start of [0, 5]) {
    const row: PlanRow = { requestId: "a", sequence: 0, start, tokens: [1, 2, 3, 4, 5], outputs: "none" };
    executor.step({ operations: [], rows: [row] });
  }
  expect(announced).toEqual([
    [["a"], 4],
    [["a"], 4],
  ]);
});
