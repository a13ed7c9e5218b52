/**
 * Lock files that outlive nobody: a lock names its process, and one whose process is gone is taken over. A holder on another
 * machine or in another container cannot be looked up; it is taken for dead when its heartbeat stops.
 */
import { linkSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { InkstoneError } from "../errors.ts";
import { toDiskError } from "./disk.ts";
import { currentProcess, livenessOf } from "./process-identity.ts";

const holderSchema = z.object({
  pid: z.number(),
  startedAt: z.string().nullable(),
  machine: z.string(),
  token: z.string(),
});

/** Who holds a lock. */
export type LockHolder = Readonly<z.infer<typeof holderSchema>>;

/** A lock that is held. */
export interface HeldLock {
  /** Aborted when another process took the lock over, which happens only after this one stood still for a minute. */
  readonly signal: AbortSignal;
  release(): void;
}

/** How to wait for a lock. */
export interface LockOptions {
  readonly signal?: AbortSignal;
  /** Called at every look while another process holds it. */
  readonly onWait?: (holder: LockHolder) => void;
  readonly pollMs?: number;
  readonly heartbeatMs?: number;
  /** A heartbeat that is older is that of a dead process. */
  readonly staleMs?: number;
}

const defaults = { pollMs: 200, heartbeatMs: 5_000, staleMs: 60_000 };
const takeoverStaleMs = 10_000;

/**
 * Takes the lock at `path`, waiting while a living process holds it. Throws `cache_not_writable`, `disk_full`, or
 * `interrupted` when the signal aborts the wait.
 */
export async function acquireLock(path: string, options: LockOptions = {}): Promise<HeldLock> {
  const { signal, onWait, pollMs, heartbeatMs, staleMs } = { ...defaults, ...options };
  const token = randomUUID();
  // A foreign holder's heartbeat is watched for changes rather than compared with this machine's clock.
  let seen = { token: "", modifiedAtMs: 0, sinceMs: 0 };
  for (;;) {
    throwIfAborted(signal);
    if (tryCreate(path, token)) return hold(path, token, heartbeatMs);
    const holder = readHolder(path);
    if (holder !== null) {
      const nowMs = performance.now();
      const changed = holder.token !== seen.token || holder.modifiedAtMs !== seen.modifiedAtMs;
      if (changed) seen = { token: holder.token, modifiedAtMs: holder.modifiedAtMs, sinceMs: nowMs };
      const liveness = livenessOf(holder);
      if (liveness === "dead" || (liveness === "unknown" && nowMs - seen.sinceMs > staleMs)) {
        removeStale(path, holder.token);
        continue;
      }
      onWait?.(holder);
    }
    await delay(pollMs, undefined, { signal }).catch(() => throwIfAborted(signal));
  }
}

/** The living holder of the lock at `path`; null where there is none. */
export function lockHolder(path: string, staleMs = defaults.staleMs): LockHolder | null {
  const holder = readHolder(path);
  if (holder === null) return null;
  const liveness = livenessOf(holder);
  if (liveness === "dead") return null;
  if (liveness === "unknown" && Date.now() - holder.modifiedAtMs > staleMs) return null;
  return holder;
}

/** Writes a lock file that names this process. False where one is there already. */
export function tryCreate(path: string, token: string): boolean {
  const text = JSON.stringify({ ...currentProcess(), token } satisfies LockHolder);
  const aside = `${path}.${token}.tmp`;
  try {
    writeFileSync(aside, text, { flag: "w" });
    try {
      // A link appears whole or not at all, unlike a file that is opened and then written.
      linkSync(aside, path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EEXIST") return false;
      if (code !== "EPERM" && code !== "ENOTSUP" && code !== "EOPNOTSUPP" && code !== "ENOSYS") throw error;
      writeFileSync(path, text, { flag: "wx" });
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw toDiskError(error, path, text.length);
  } finally {
    rmSync(aside, { force: true });
  }
}

/** Keeps the lock file's time moving until it is released or was taken over. */
export function hold(path: string, token: string, heartbeatMs = defaults.heartbeatMs): HeldLock {
  const lost = new AbortController();
  const isOurs = (): boolean => readHolder(path)?.token === token;
  const timer = setInterval(() => {
    if (isOurs()) {
      const now = new Date();
      try {
        utimesSync(path, now, now);
      } catch {
        // Removed between the two calls; the next beat sees it.
      }
      return;
    }
    clearInterval(timer);
    lost.abort(new InkstoneError("download_failed", `Another process took over the lock ${path}.`));
  }, heartbeatMs);
  timer.unref();
  return {
    signal: lost.signal,
    release: () => {
      clearInterval(timer);
      if (isOurs()) rmSync(path, { force: true });
    },
  };
}

function readHolder(path: string): (LockHolder & { modifiedAtMs: number }) | null {
  try {
    const modifiedAtMs = statSync(path).mtimeMs;
    const parsed = holderSchema.safeParse(JSON.parse(readFileSync(path, "utf8")));
    // A file that cannot be read as a lock belongs to nobody that could be asked: its age decides.
    return parsed.success ? { ...parsed.data, modifiedAtMs } : { ...nobody, modifiedAtMs };
  } catch (error) {
    if (error instanceof SyntaxError) return { ...nobody, modifiedAtMs: 0 };
    return null;
  }
}

const nobody: LockHolder = { pid: 0, startedAt: null, machine: "", token: "" };

/**
 * Removes a stale lock, unless somebody else replaced it since it was read. Two processes may come here at once, so it is done under a lock
 * of its own, which is held for a few synchronous calls.
 */
function removeStale(path: string, token: string): void {
  const takeover = `${path}.takeover`;
  const ours = randomUUID();
  if (!tryCreate(takeover, ours)) {
    const other = readHolder(takeover);
    if (
      other !== null &&
      (livenessOf(other) === "dead" || Date.now() - other.modifiedAtMs > takeoverStaleMs)
    ) {
      rmSync(takeover, { force: true });
    }
    return;
  }
  try {
    if (readHolder(path)?.token === token) rmSync(path, { force: true });
  } finally {
    rmSync(takeover, { force: true });
  }
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  const reason: unknown = signal.reason;
  if (reason instanceof InkstoneError) throw reason;
  throw new InkstoneError("interrupted", "Interrupted while waiting for another process.");
}
