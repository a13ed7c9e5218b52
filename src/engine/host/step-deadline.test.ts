import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { StepDeadline } from "./step-deadline.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function watch(): { deadline: StepDeadline; expired: number[]; setWork: (work: boolean) => void } {
  let work = true;
  const expired: number[] = [];
  const deadline = new StepDeadline({
    timeoutMs: 1_000,
    now: () => Date.now(),
    hasWork: () => work,
    onExpired: (silentMs) => expired.push(silentMs),
  });
  return { deadline, expired, setWork: (value) => (work = value) };
}

test("silence with work expires once", () => {
  const { deadline, expired } = watch();
  deadline.workAdded(true);
  vi.advanceTimersByTime(999);
  expect(expired).toEqual([]);
  vi.advanceTimersByTime(5_000);
  expect(expired).toHaveLength(1);
  deadline.workAdded(false);
  vi.advanceTimersByTime(5_000);
  expect(expired).toHaveLength(1);
});

test("each message gives new time", () => {
  const { deadline, expired } = watch();
  deadline.workAdded(true);
  for (let i = 0; i < 10; i += 1) {
    vi.advanceTimersByTime(900);
    deadline.heard();
  }
  expect(expired).toEqual([]);
  vi.advanceTimersByTime(1_100);
  expect(expired).toHaveLength(1);
});

test("an engine without work may be silent, and work that comes later has its whole time", () => {
  const { deadline, expired, setWork } = watch();
  deadline.workAdded(true);
  setWork(false);
  vi.advanceTimersByTime(950);
  setWork(true);
  deadline.workAdded(true);
  vi.advanceTimersByTime(950);
  expect(expired).toEqual([]);
  setWork(false);
  vi.advanceTimersByTime(10_000);
  expect(expired).toEqual([]);
});

test("more work does not give more time", () => {
  const { deadline, expired } = watch();
  deadline.workAdded(true);
  for (let i = 0; i < 15; i += 1) {
    vi.advanceTimersByTime(100);
    deadline.workAdded(false);
  }
  expect(expired).toHaveLength(1);
});

test("a message that was already here when the time ran out saves it", () => {
  const { deadline, expired } = watch();
  deadline.workAdded(true);
  setTimeout(() => deadline.heard(), 1_000);
  vi.advanceTimersByTime(1_500);
  expect(expired).toEqual([]);
});

test("a step that was announced as long gets more time, the one after it does not", () => {
  const { deadline, expired } = watch();
  deadline.workAdded(true);
  deadline.heard(10_000);
  vi.advanceTimersByTime(10_900);
  expect(expired).toHaveLength(0);
  deadline.heard();
  vi.advanceTimersByTime(1_500);
  expect(expired).toHaveLength(1);
});
