import { describe, expect, test } from "vitest";

import { InkstoneError } from "../errors.ts";
import type { StopSignal } from "./context.ts";
import { interruptible, StoppedBySignal } from "./interrupt.ts";
import { reportError } from "./report-error.ts";
import { createPalette } from "./terminal/colors.ts";

function createSignals() {
  const handlers = new Set<(signal: StopSignal) => void>();
  const exits: number[] = [];
  let nowMs = 1_000;
  return {
    handlers,
    exits,
    context: {
      now: () => nowMs,
      onSignal: (handler: (signal: StopSignal) => void) => {
        handlers.add(handler);
        return () => void handlers.delete(handler);
      },
      exitNow: (code: number): never => {
        exits.push(code);
        return undefined as never;
      },
    },
    wait: (ms: number) => void (nowMs += ms),
    send: (signal: StopSignal) => handlers.forEach((handler) => handler(signal)),
  };
}

const untilAborted = async (signal: AbortSignal): Promise<void> => {
  await new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(new Error("aborted")));
  });
};

describe("Ctrl+C", () => {
  test("stops the work once, and the process at the second time", async () => {
    const { context, send, wait, exits, handlers } = createSignals();
    const work = interruptible(context, untilAborted);
    send("SIGINT");
    wait(600);
    send("SIGTERM");
    await expect(work).rejects.toMatchObject({ code: "interrupted" });
    expect(exits).toEqual([143]);
    expect(handlers.size).toBe(0);
  });

  test("that arrives twice, from the terminal and from npm, counts once", async () => {
    const { context, send, wait, exits } = createSignals();
    const work = interruptible(context, untilAborted);
    send("SIGINT");
    send("SIGINT");
    wait(300);
    send("SIGINT");
    expect(exits).toEqual([]);
    wait(300);
    send("SIGINT");
    expect(exits).toEqual([130]);
    await expect(work).rejects.toMatchObject({ code: "interrupted" });
  });

  test("work that was not stopped keeps its own result and error", async () => {
    const { context } = createSignals();
    expect(await interruptible(context, async () => 7)).toBe(7);
    const failure = new InkstoneError("offline", "no network");
    await expect(interruptible(context, async () => Promise.reject(failure))).rejects.toBe(failure);
  });
});

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const)("%s that stopped a command is told by exit status %i alone", (signal, status) => {
  const written: string[] = [];
  const stderr = {
    write: (text: string) => void written.push(text),
    isTerminal: false,
    columns: 80,
    palette: createPalette(false, {}),
  };
  expect(reportError(new StoppedBySignal(signal), stderr, false)).toBe(status);
  expect(written).toEqual([]);
});
