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
