import { CommanderError } from "commander";

import { InkstoneError, toInkstoneError } from "../errors.ts";
import { signalExitCodes } from "./context.ts";
import type { OutputStream } from "./context.ts";
import { StoppedBySignal } from "./interrupt.ts";

/**
 * Says an error as `error:` and `hint:` lines, and returns the exit status. The stack is shown only for `debug`. Help and
 * version, which the parser reports in the same way, are none.
 */
export function reportError(thrown: unknown, stderr: OutputStream, debug: boolean): number {
  if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
  const error = thrown instanceof CommanderError ? fromCommander(thrown) : toInkstoneError(thrown);
  if (error instanceof StoppedBySignal) return signalExitCodes[error.signal];
  if (error.code === "interrupted") return error.row.exitCode;
  const { palette } = stderr;
  for (const line of error.message.split("\n")) stderr.write(`${palette.red("error:")} ${line}\n`);
  if (thrown instanceof InkstoneError || thrown instanceof CommanderError) {
    stderr.write(`${palette.cyan("hint:")} ${error.hint}\n`);
  } else {
    stderr.write(`${palette.cyan("hint:")} This is a fault in Inkstone; INKSTONE_DEBUG=1 shows where.\n`);
  }
  if (debug) stderr.write(`${stackOf(thrown)}\n`);
  return error.row.exitCode;
}

/** `error: unknown option '--prot'\n(Did you mean --port?)` as a row of the table. */
function fromCommander(error: CommanderError): InkstoneError {
  const message = error.message
    .replace(/^error: /, "")
    .replace(/\n\(Did you mean (.*)\?\)$/s, "; did you mean $1?");
  return new InkstoneError("unknown_option", message);
}

function stackOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const cause = thrown.cause === undefined ? "" : `\ncaused by: ${stackOf(thrown.cause)}`;
  return `${thrown.stack ?? thrown.message}${cause}`;
}
