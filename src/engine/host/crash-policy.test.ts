import { describe, expect, test } from "vitest";
import { CrashPolicy, judgeRequest } from "./crash-policy.ts";

describe("CrashPolicy", () => {
  test("restarts at once, then with growing delays, then sees a loop", () => {
    const policy = new CrashPolicy();
    expect(Array.from({ length: 6 }, () => policy.failure(10, 0))).toEqual([
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
    policy.failure(null, 0);
    policy.progress();
    expect(policy.failure(null, 0)).toEqual({ kind: "restart", delayMs: 0 });
    expect(policy.failure(null, 0).kind).toBe("loop");
    policy.progress();
    expect(policy.failure(null, 0).kind).toBe("restart");
  });

  test("an engine that was ready for long was healthy, one that loads for long is not", () => {
    const policy = new CrashPolicy({ maxFailures: 2, healthyMs: 1_000 });
    policy.failure(null, 0);
    expect(policy.failure(1_000, 0).kind).toBe("restart");
    expect(policy.failure(999, 0).kind).toBe("loop");
  });
});

test("a request runs with others, then alone, then not at all", () => {
  expect([0, 1, 2, 3, 4].map(judgeRequest)).toEqual(["together", "together", "alone", "end", "end"]);
});

describe("rate of failures", () => {
  test("many failures in a short time are a loop, even with steps between them; spread out they are not", () => {
    const policy = new CrashPolicy({ maxFailuresInWindow: 3, rateWindowMs: 1_000 });
    const fail = (atMs: number) => {
      policy.progress();
      return policy.failure(10, atMs).kind;
    };
    expect([fail(0), fail(900), fail(1_800), fail(1_850)]).toEqual(["restart", "restart", "restart", "loop"]);
  });
});
