/** Structured logs: JSON lines for machines, one compact line for a terminal. */
import { pino } from "pino";

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Facts of one log line. Never the content of requests or answers, and never keys. */
export type LogFields = Readonly<Record<string, unknown>>;

/** What the rooms need of a logger; pino's loggers fit. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger;
}

/** Where finished lines go; each text ends with a line break. */
export interface LogDestination {
  write(text: string): unknown;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  /** "json" when a machine reads, "pretty" on a terminal. */
  readonly format: "json" | "pretty";
  readonly destination: LogDestination;
  /** ANSI colours in the pretty format. */
  readonly color?: boolean;
}

/** A logger that writes to `destination`. JSON lines carry `level` (a word), `time` (ISO 8601) and `msg`. */
export function createLogger(options: LoggerOptions): Logger {
  const destination: LogDestination =
    options.format === "json"
      ? options.destination
      : prettyDestination(options.destination, options.color ?? false);
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err },
    },
    { write: (line: string) => void destination.write(line) },
  );
}

const colors: Readonly<Record<string, string>> = {
  trace: "\u001b[90m",
  debug: "\u001b[90m",
  info: "\u001b[36m",
  warn: "\u001b[33m",
  error: "\u001b[31m",
  fatal: "\u001b[31m",
};
const reset = "\u001b[0m";

function prettyDestination(destination: LogDestination, color: boolean): LogDestination {
  return { write: (line) => destination.write(formatLogLine(line, color)) };
}

/** What `createLogger` makes pino write. */
interface PinoLine {
  readonly level: string;
  readonly time: string;
  readonly msg?: string;
  readonly error?: unknown;
  readonly [field: string]: unknown;
}

/** One of pino's JSON lines as `12:34:56 INFO  message key=value`; stack traces follow on lines of their own. */
export function formatLogLine(line: string, color: boolean): string {
  const { level, time, msg = "", error, ...rest } = JSON.parse(line) as PinoLine;
  const label = level.toUpperCase().padEnd(5);
  const clock = time.slice(11, 19);
  const shown = color ? `${colors[level] ?? ""}${label}${reset}` : label;
  const fields = Object.entries(rest).map(([key, value]) => `${key}=${formatValue(value)}`);
  const head = [clock, shown, msg, ...fields].join(" ");
  return `${head}${formatError(error)}\n`;
}

function formatValue(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  if (/^[^\s"=\p{C}]+$/u.test(text)) return text;
  // JSON leaves DEL, the C1 controls and the marks that turn the direction of text as they are.
  return JSON.stringify(text).replaceAll(/[\p{C}\u2028\u2029]/gu, escapeCharacter);
}

function escapeCharacter(character: string): string {
  return [...character]
    .flatMap((each) => each.split(""))
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");
}

function formatError(error: unknown): string {
  if (error === undefined) return "";
  const isError = typeof error === "object" && error !== null && "stack" in error;
  const text = isError && typeof error.stack === "string" ? error.stack : JSON.stringify(error);
  return `\n  ${text.replaceAll("\n", "\n  ")}`;
}
