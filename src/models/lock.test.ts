import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { acquireLock, lockHolder } from "./lock.ts";
import { currentProcess } from "./process-identity.ts";

let directory = "";
let path = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "inkstone-lock-"));
  path = join(directory, "a.lock");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const write = (holder: object): void =>
  writeFileSync(path, JSON.stringify({ ...currentProcess(), token: "other", ...holder }));

describe("a lock", () => {
  test("has one holder at a time, and leaves nothing behind", async () => {
    let nHolders = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      const lock = await acquireLock(path, { pollMs: 1 });
      nHolders += 1;
      most = Math.max(most, nHolders);
      await new Promise((resolve) => setTimeout(resolve, 2));
      nHolders -= 1;
      lock.release();
    };
    await Promise.all(Array.from({ length: 10 }, work));
    expect(most).toBe(1);
    expect(readdirSync(directory)).toEqual([]);
  });

  test("tells who holds it while waiting, and stops waiting when told", async () => {
    const lock = await acquireLock(path);
    const stop = new AbortController();
    const holders: number[] = [];
    const waiting = acquireLock(path, {
      signal: stop.signal,
      pollMs: 1,
      onWait: ({ pid }) => {
        holders.push(pid);
        stop.abort();
      },
    });
    await expect(waiting).rejects.toMatchObject({ code: "interrupted" });
    expect(holders).toEqual([process.pid]);
    lock.release();
    expect(lockHolder(path)).toBeNull();
  });

  test.runIf(process.platform === "linux")("is taken over from a process that is gone", async () => {
    write({ pid: 2 ** 22 + 1 });
    expect(lockHolder(path)).toBeNull();
    const lock = await acquireLock(path, { pollMs: 1 });
    expect(lockHolder(path)?.pid).toBe(process.pid);
    lock.release();
  });

  test.runIf(process.platform === "linux")(
    "is taken over when its pid is another process's now",
    async () => {
      write({ startedAt: "1" });
      const lock = await acquireLock(path, { pollMs: 1 });
      lock.release();
    },
  );

  test("of another machine is taken over only when its heartbeat stops", async () => {
    write({ machine: "elsewhere" });
    expect(lockHolder(path)?.machine).toBe("elsewhere");
    let nWaits = 0;
    const lock = await acquireLock(path, { pollMs: 5, staleMs: 50, onWait: () => (nWaits += 1) });
    expect(nWaits).toBeGreaterThan(1);
    lock.release();
  });

  test("that is damaged is taken over in the end", async () => {
    writeFileSync(path, "{");
    const lock = await acquireLock(path, { pollMs: 1, staleMs: 20 });
    lock.release();
  });

  test("that was taken over says so to the one who had it", async () => {
    const lock = await acquireLock(path, { heartbeatMs: 1 });
    write({});
    await new Promise((resolve) => lock.signal.addEventListener("abort", resolve));
    lock.release();
    expect(lockHolder(path)?.token).toBe("other");
  });
});
