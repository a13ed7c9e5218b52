import { expect, test } from "vitest";
import { createProgressMeter } from "./progress.ts";
import type { FetchProgress } from "./types.ts";

function meter(initialBytes = 0): {
  reports: FetchProgress[];
  at: (ms: number, bytes: number) => void;
  finish: () => void;
} {
  const reports: FetchProgress[] = [];
  let nowMs = 0;
  const inner = createProgressMeter({
    label: "m",
    totalBytes: 1_000_000,
    phase: "download",
    onProgress: (progress) => reports.push(progress),
    now: () => nowMs,
    initialBytes,
  });
  return {
    reports,
    at: (ms, bytes) => {
      nowMs = ms;
      inner.update(bytes);
    },
    finish: inner.finish,
  };
}

test("reports at most ten times a second, and the last state", () => {
  const { reports, at, finish } = meter();
  for (let ms = 1; ms <= 1000; ms += 1) at(ms, ms * 10);
  expect(reports).toHaveLength(10);
  finish();
  expect(reports.at(-1)?.receivedBytes).toBe(10_000);
});

test("the rate is that of the last seconds, without what was there before", () => {
  const { reports, at } = meter(500_000);
  for (let ms = 100; ms <= 10_000; ms += 100) at(ms, 500_000 + ms);
  expect(reports[20]?.bytesPerSecond).toBeCloseTo(1000);
  for (let ms = 10_100; ms <= 20_000; ms += 100) at(ms, 510_000 + (ms - 10_000) * 4);
  expect(reports.at(-1)?.bytesPerSecond).toBeCloseTo(4000);
});
