import { expect, test } from "vitest";
import { FinishRate } from "./retry-after.ts";

test("the time follows from how quickly requests finish", () => {
  const rate = new FinishRate();
  expect(rate.retryAfterS(100, 0)).toBe(1);
  for (let second = 0; second < 10; second += 1) rate.finished(second * 1_000);
  expect(rate.retryAfterS(5, 10_000)).toBe(5);
  expect(rate.retryAfterS(5_000, 10_000)).toBe(60);
  expect(rate.retryAfterS(0, 10_000)).toBe(1);
});

test("only the newest requests count", () => {
  const rate = new FinishRate();
  for (let index = 0; index < 1_000; index += 1) rate.finished(index < 500 ? 0 : 1_000_000 + index);
  expect(rate.retryAfterS(10, 1_001_000)).toBe(1);
});
