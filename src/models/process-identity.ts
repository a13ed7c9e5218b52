/** Tells processes apart also when a process id was given to another one since. */
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/** A process on a machine. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in the system's own words; null where the system does not say. */
  readonly startedAt: string | null;
  /** The machine and, on Linux, its boot and process namespace: only within the same one can a pid be looked up. */
  readonly machine: string;
}

/** What can be said of a process. "unknown": it is elsewhere, or the system does not tell it from a later one. */
export type Liveness = "alive" | "dead" | "unknown";

/** This process. */
export function currentProcess(): ProcessIdentity {
  return { pid: process.pid, startedAt: startOf(process.pid), machine: currentMachine() };
}

/** Is that process still running? */
export function livenessOf(identity: ProcessIdentity): Liveness {
  if (identity.machine !== currentMachine()) return "unknown";
  if (process.platform === "linux" && identity.startedAt !== null) {
    return startOf(identity.pid) === identity.startedAt ? "alive" : "dead";
  }
  try {
    process.kill(identity.pid, 0);
    return "unknown";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH" ? "dead" : "unknown";
  }
}

/** Start time of a process in ticks since boot; null where there is none, or only an unreaped zombie. */
function startOf(pid: number): string | null {
  if (process.platform !== "linux") return null;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The command stands in parentheses and may itself hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z" || fields[0] === "X") return null;
    return fields[19] ?? null;
  } catch {
    return null;
  }
}

function currentMachine(): string {
  if (process.platform !== "linux") return hostname();
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
    return `${boot} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    return hostname();
  }
}
