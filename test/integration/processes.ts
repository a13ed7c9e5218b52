/** What Linux's /proc says of processes. On other systems every list is empty. */
import { readdirSync, readFileSync } from "node:fs";

/** False where the system has no /proc; tests that look into processes are skipped there. */
export const hasProc: boolean = process.platform === "linux";

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}

/** A process's command line, its arguments separated by spaces; "" when it is gone. */
export function commandLine(pid: number): string {
  return readProc(pid, "cmdline").replaceAll("\0", " ").trim();
}

/** True while a process runs; a zombie does not. */
export function isRunning(pid: number): boolean {
  const status = readProc(pid, "status");
  return status !== "" && !/^State:\s+[ZX]/m.test(status);
}

/** Resident memory of a process in bytes; 0 when it is gone. */
export function residentBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readProc(pid, "status"))?.[1];
  return kilobytes === undefined ? 0 : Number(kilobytes) * 1024;
}

/** All processes that descend from one, nearest first. */
export function descendants(pid: number): number[] {
  if (!hasProc) return [];
  const childrenOf = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const parent = /^PPid:\s+(\d+)/m.exec(readProc(Number(entry), "status"))?.[1];
    if (parent === undefined) continue;
    const siblings = childrenOf.get(Number(parent));
    if (siblings === undefined) childrenOf.set(Number(parent), [Number(entry)]);
    else siblings.push(Number(entry));
  }
  const found: number[] = [];
  for (let queue = [pid]; queue.length > 0;) {
    queue = queue.flatMap((each) => childrenOf.get(each) ?? []);
    found.push(...queue);
  }
  return found;
}
