/** What the native library logs: silent, but kept while somebody listens, so that an error can carry the library's own reason. */
import { logLevels } from "./abi.ts";

/** One line of the library's log. */
export interface NativeLogLine {
  readonly level: "info" | "warn" | "error";
  readonly text: string;
}

const maxCapturedLines = 4000;

/** Collects the lines of the library's log callback. */
export class NativeLog {
  readonly #onLine: ((line: NativeLogLine) => void) | null;
  #captured: NativeLogLine[] | null = null;
  /** Of the line that is being received; null: not kept. */
  #level: NativeLogLine["level"] | null = null;
  #partial = "";

  constructor(onLine: ((line: NativeLogLine) => void) | null) {
    this.#onLine = onLine;
  }

  /** The library's callback. Text comes in pieces; a line ends with a newline. */
  receive(level: number, piece: string): void {
    if (level !== logLevels.continued) this.#level = levelName(level);
    const parts = (this.#partial + piece).split("\n");
    this.#partial = parts.pop() ?? "";
    for (const part of parts) {
      const text = part.trim();
      if (this.#level === null || text === "") continue;
      const line = { level: this.#level, text };
      this.#onLine?.(line);
      if (this.#captured !== null && this.#captured.length < maxCapturedLines) this.#captured.push(line);
    }
  }

  /** Runs `run` and gives its value with the lines that were logged meanwhile. */
  capture<T>(run: () => T): { value: T; lines: readonly NativeLogLine[] } {
    const outer = this.#captured;
    const lines: NativeLogLine[] = [];
    this.#captured = lines;
    try {
      return { value: run(), lines };
    } finally {
      this.#captured = outer;
    }
  }
}

/** Debug lines are dropped: there are thousands for each graph. */
function levelName(level: number): NativeLogLine["level"] | null {
  if (level === logLevels.error) return "error";
  if (level === logLevels.warn) return "warn";
  return level === logLevels.info ? "info" : null;
}

/**
 * The library's reason for a failure, from the lines it logged: its first error (later ones only repeat that it failed),
 * else its last warning, without the name of the C function; "no reason given" when there is neither.
 */
export function failureReason(lines: readonly NativeLogLine[]): string {
  const line =
    lines.find(({ level }) => level === "error") ?? lines.findLast(({ level }) => level === "warn");
  return line === undefined ? "no reason given" : line.text.replace(/^[\w:~]+: (?=\S)/, "");
}
