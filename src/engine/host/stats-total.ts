/** The engine's counters over all its processes. */
import type { EngineStats } from "../types.ts";
import { statsKeys } from "./messages.ts";

/** Counters that start again at 0 with each process; the others are gauges. */
const totals = [
  "steps",
  "promptTokens",
  "generatedTokens",
  "preemptions",
  "prefixCacheQueries",
  "prefixCacheHits",
  "evictedTokens",
] as const satisfies readonly (keyof EngineStats)[];

type Counters = Record<(typeof statsKeys)[number], number>;

const zeroes = (): Counters => Object.fromEntries(statsKeys.map((key) => [key, 0])) as Counters;

/** Adds up the counters of one engine process after another. */
export class StatsTotal {
  #ended = zeroes();
  #current = zeroes();

  /** Takes the newest numbers of the process that runs now, in the order of `statsKeys`. */
  update(packed: readonly number[]): void {
    for (const [index, key] of statsKeys.entries()) this.#current[key] = packed[index] ?? 0;
  }

  /** The process is gone: its totals stay, its gauges fall to 0. */
  processEnded(): void {
    for (const key of totals) this.#ended[key] += this.#current[key];
    this.#current = { ...zeroes(), kvTotalTokens: this.#current.kvTotalTokens };
  }

  /** `unfinished`: requests that the parent holds; while no process runs they are all waiting. */
  read(unfinished: number, processRuns: boolean): EngineStats {
    const sum = { ...this.#current };
    for (const key of totals) sum[key] += this.#ended[key];
    return processRuns ? sum : { ...sum, running: 0, waiting: unfinished };
  }
}
