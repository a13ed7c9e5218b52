import type { FetchProgress } from "../../models/types.ts";
import { formatBytes, formatDuration } from "./format.ts";
import { displayWidth } from "./table.ts";

/** Where progress is shown. */
export interface ProgressOutput {
  write(text: string): void;
  readonly isTerminal: boolean;
  /** Width of the terminal. */
  readonly columns: number;
  /** Milliseconds; only differences count. */
  now(): number;
}

export interface ProgressReporter {
  update(state: FetchProgress): void;
  /** Ends the display. `finished` is false when the work broke off. */
  end(finished: boolean): void;
}

/** Work that ends sooner is not reported. */
const showAfterMs = 300;
const linesEveryMs = 10_000;
const phaseNames = {
  download: "downloading",
  verify: "verifying",
  unpack: "unpacking",
  wait: "another process downloads",
} as const satisfies Record<FetchProgress["phase"], string>;

/**
 * Shows bytes, rate and time left: one line that is rewritten on a terminal, otherwise a plain line at the start, every ten
 * seconds, and at the end. Says nothing of work that is done at once.
 */
export function createProgressReporter(output: ProgressOutput): ProgressReporter {
  const startedAt = output.now();
  let last: FetchProgress | null = null;
  let shown = false;
  let lineAt = -Infinity;
  let linePhase = "";

  function plainLine(state: FetchProgress): void {
    const now = output.now();
    if (linePhase === state.phase && now - lineAt < linesEveryMs) return;
    lineAt = now;
    linePhase = state.phase;
    shown = true;
    output.write(`${phaseNames[state.phase]} ${state.label}: ${describe(state)}\n`);
  }

  return {
    update(state) {
      last = state;
      if (!output.isTerminal) {
        plainLine(state);
      } else if (shown || output.now() - startedAt >= showAfterMs) {
        shown = true;
        output.write(`\r\u001b[K${progressLine(state, output.columns)}`);
      }
    },
    end(finished) {
      if (!shown || last === null) return;
      if (output.isTerminal) output.write("\r\u001b[K");
      const took = formatDuration(output.now() - startedAt);
      const bytes = formatBytes(finished ? (last.totalBytes ?? last.receivedBytes) : last.receivedBytes);
      output.write(
        finished
          ? `${last.label}: ${bytes} in ${took}\n`
          : `${last.label}: stopped at ${bytes} after ${took}\n`,
      );
    },
  };
}

function describe({ receivedBytes, totalBytes, bytesPerSecond }: FetchProgress): string {
  const parts = [
    totalBytes === null
      ? formatBytes(receivedBytes)
      : `${percent(receivedBytes, totalBytes)}%, ${formatBytes(receivedBytes)} of ${formatBytes(totalBytes)}`,
  ];
  if (bytesPerSecond > 0) {
    parts.push(`${formatBytes(bytesPerSecond)}/s`);
    const left = (totalBytes ?? 0) - receivedBytes;
    if (left > 0) parts.push(`${formatDuration((left / bytesPerSecond) * 1000)} left`);
  }
  return parts.join(", ");
}

function percent(part: number, whole: number): number {
  return whole === 0 ? 100 : Math.min(100, Math.floor((part / whole) * 100));
}

/** The line of a terminal: `downloading smollm2-135m ▕███   ▏ 41%, ...`, cut to the width. */
export function progressLine(state: FetchProgress, columns: number): string {
  const before = `${phaseNames[state.phase]} ${state.label} `;
  const after = describe(state);
  const room = columns - 1 - displayWidth(before) - after.length - 3;
  const line = state.totalBytes === null || room < 10 ? before + after : before + bar(state, room) + after;
  return displayWidth(line) < columns ? line : [...line].slice(0, Math.max(0, columns - 1)).join("");
}

function bar({ receivedBytes, totalBytes }: FetchProgress, room: number): string {
  const width = Math.min(30, room);
  const full = Math.floor((percent(receivedBytes, totalBytes ?? 0) / 100) * width);
  return `▕${"█".repeat(full)}${" ".repeat(width - full)}▏ `;
}
