/** What the commands are given of the process they run in, so that tests can hand them another one. */
import type { ConfigInputs } from "../config/load.ts";
import { createPalette } from "./terminal/colors.ts";
import type { Palette } from "./terminal/colors.ts";

/** Standard output or standard error. */
export interface OutputStream {
  write(text: string): void;
  readonly isTerminal: boolean;
  /** Width of the terminal; 80 elsewhere. */
  readonly columns: number;
  readonly palette: Palette;
}

/** The signals that end a command. */
export type StopSignal = "SIGINT" | "SIGTERM" | "SIGHUP";

export interface CliContext {
  readonly stdin: NodeJS.ReadStream;
  /** The stream behind `stdout`, for line editing. */
  readonly stdoutStream: NodeJS.WriteStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly inputs: Omit<ConfigInputs, "flags" | "modelArgument">;
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls the handler at every stop signal until the returned function is called. */
  onSignal(handler: (signal: StopSignal) => void): () => void;
  /** Ends the process at once. */
  exitNow(code: number): never;
}

/** The exit status of a process that a signal ended. */
export const signalExitCodes: Readonly<Record<StopSignal, number>> = {
  SIGINT: 130,
  SIGTERM: 143,
  SIGHUP: 129,
};

const stopSignals = Object.keys(signalExitCodes) as StopSignal[];

/** A stream of the process as an output. */
export function createOutput(stream: NodeJS.WriteStream, env: ConfigInputs["env"]): OutputStream {
  const isTerminal = stream.isTTY ?? false;
  return {
    write: (text) => void stream.write(text),
    isTerminal,
    get columns() {
      return stream.columns ?? 80;
    },
    palette: createPalette(isTerminal, env),
  };
}

/** Adds a handler for the stop signals of the process; returns what removes it. */
export function listenForSignals(
  target: Pick<NodeJS.Process, "on" | "off">,
  handler: (signal: StopSignal) => void,
): () => void {
  for (const signal of stopSignals) target.on(signal, handler);
  return () => {
    for (const signal of stopSignals) target.off(signal, handler);
  };
}
