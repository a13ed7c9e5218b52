import { describe, expect, test } from "vitest";
import { CrashPolicy, judgeRequest } from "./crash-policy.ts";

describe("CrashPolicy", () => {
  test("restarts at once, then with growing delays, then sees a loop", () => {
    const policy = new CrashPolicy();
    expect(Array.from({ length: 6 }, () => policy.failure(10))).toEqual([
      { kind: "restart", delayMs: 0 },
      { kind: "restart", delayMs: 100 },
      { kind: "restart", delayMs: 200 },
      { kind: "restart", delayMs: 400 },
      { kind: "loop", delayMs: 30_000 },
      { kind: "loop", delayMs: 30_000 },
    ]);
  });

  test("a completed step breaks the row", () => {
    const policy = new CrashPolicy({ maxFailures: 2 });
    policy.failure(null);
    policy.progress();
    expect(policy.failure(null)).toEqual({ kind: "restart", delayMs: 0 });
    expect(policy.failure(null).kind).toBe("loop");
    policy.progress();
    expect(policy.failure(null).kind).toBe("restart");
  });

  test("an engine that was ready for long was healthy, one that loads for long is not", () => {
    const policy = new CrashPolicy({ maxFailures: 2, healthyMs: 1_000 });
    policy.failure(null);
    expect(policy.failure(1_000).kind).toBe("restart");
    expect(policy.failure(999).kind).toBe("loop");
  });
});

test("a request runs with others, then alone, then not at all", () => {
  expect([0, 1, 2, 3, 4].map(judgeRequest)).toEqual(["together", "together", "alone", "end", "end"]);
});
