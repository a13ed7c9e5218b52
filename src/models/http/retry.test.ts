import { describe, expect, test } from "vitest";
import { parseRetryAfter, TransientError, withRetries } from "./retry.ts";

function clock(): { waits: number[]; sleep: (ms: number) => Promise<void> } {
  const waits: number[] = [];
  return {
    waits,
    sleep: async (ms) => {
      waits.push(ms);
      await Promise.resolve();
    },
  };
}

const fault = (retryAfterMs: number | null = null): TransientError =>
  new TransientError("it broke", { retryAfterMs });

describe("withRetries", () => {
  test("waits longer every time, then gives up naming the fault", async () => {
    const { waits, sleep } = clock();
    const attempt = async (): Promise<never> => await Promise.reject(fault());
    await expect(withRetries({ what: "m", retries: 3, sleep }, attempt)).rejects.toMatchObject({
      code: "download_failed",
      message: "Fetching m failed after 4 tries: it broke.",
    });
    expect(waits).toHaveLength(3);
    waits.forEach((ms, index) => {
      expect(ms / (500 * 2 ** index)).toBeGreaterThanOrEqual(0.75);
      expect(ms / (500 * 2 ** index)).toBeLessThanOrEqual(1.25);
    });
  });

  test("waits as long as the server asks, within limits", async () => {
    const { waits, sleep } = clock();
    const answers = [fault(7000), null];
    const attempt = async (): Promise<string> => {
      const next = answers.shift();
      if (next instanceof Error) throw next;
      return await Promise.resolve("done");
    };
    expect(await withRetries({ what: "m", retries: 3, sleep }, attempt)).toBe("done");
    expect(waits).toEqual([7000]);
    const tooLong = async (): Promise<never> => await Promise.reject(fault(3_600_000));
    await expect(withRetries({ what: "m", retries: 3, sleep }, tooLong)).rejects.toMatchObject({
      code: "download_failed",
      retryAfterS: 3600,
    });
  });

  test("counts anew after progress", async () => {
    const { waits, sleep } = clock();
    let nAttempts = 0;
    const attempt = async (): Promise<number> => {
      nAttempts += 1;
      if (nAttempts < 10) throw fault();
      return await Promise.resolve(nAttempts);
    };
    expect(await withRetries({ what: "m", retries: 1, sleep }, attempt, () => true)).toBe(10);
    expect(waits).toHaveLength(9);
  });

  test("does not try again what is no passing fault, nor when interrupted", async () => {
    const { waits, sleep } = clock();
    const attempt = async (): Promise<never> => await Promise.reject(new Error("bug"));
    await expect(withRetries({ what: "m", retries: 3, sleep }, attempt)).rejects.toThrow("bug");
    const signal = AbortSignal.abort();
    await expect(withRetries({ what: "m", retries: 3, sleep, signal }, attempt)).rejects.toMatchObject({
      code: "interrupted",
    });
    expect(waits).toEqual([]);
  });
});

test("Retry-After is read as seconds and as a date", () => {
  expect(parseRetryAfter("12", 0)).toBe(12_000);
  expect(parseRetryAfter("Thu, 01 Jan 1970 00:00:30 GMT", 10_000)).toBe(20_000);
  expect(parseRetryAfter("Thu, 01 Jan 1970 00:00:00 GMT", 10_000)).toBe(0);
  expect(parseRetryAfter("soon", 0)).toBeNull();
  expect(parseRetryAfter(null, 0)).toBeNull();
});
