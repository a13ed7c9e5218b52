import { expect, test } from "vitest";
import { packStats, statsKeys } from "./messages.ts";
import { StatsTotal } from "./stats-total.ts";

/** All counters the same number. */
const all = (value: number): number[] => statsKeys.map(() => value);

test("totals go on over processes, gauges are those of the newest", () => {
  const stats = new StatsTotal();
  stats.update(all(5));
  stats.processEnded();
  expect(stats.read(3, false)).toMatchObject({ running: 0, waiting: 3, kvUsedTokens: 0, generatedTokens: 5 });
  stats.processEnded();
  stats.update(all(2));
  expect(stats.read(3, true)).toMatchObject({
    running: 2,
    waiting: 2,
    kvUsedTokens: 2,
    generatedTokens: 7,
    steps: 7,
  });
});

test("what is packed is read again", () => {
  const stats = new StatsTotal();
  stats.update(statsKeys.map((_, index) => index));
  expect(packStats(stats.read(0, true))).toEqual(statsKeys.map((_, index) => index));
});
