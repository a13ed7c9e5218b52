#!/usr/bin/env node
/** The entry of the command `inkstone`, and the only place that ends the process. */
import { readProcessInputs } from "../config/process-inputs.ts";
import { createOutput, listenForSignals } from "./context.ts";
import { runCli } from "./program.ts";

const inputs = readProcessInputs();

/** A reader that went away (`inkstone ls | head -1`) is no failure. */
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? 0 : 1);
});

const exitCode = await runCli(process.argv.slice(2), {
  stdin: process.stdin,
  stdoutStream: process.stdout,
  stdout: createOutput(process.stdout, inputs.env),
  stderr: createOutput(process.stderr, inputs.env),
  inputs,
  now: () => Date.now(),
  onSignal: (handler) => listenForSignals(process, handler),
  exitNow: (code) => process.exit(code),
});
process.stdout.write("", () => process.exit(exitCode));
