import type { Config } from "../config/schema.ts";
import { createLogger } from "../observe/logger.ts";
import type { Logger, LogLevel } from "../observe/logger.ts";
import type { OutputStream } from "./context.ts";

/** Are log lines for people? By default on a terminal only. */
export function logsAreText(config: Config, stderr: OutputStream): boolean {
  return config.logFormat === "text" || (config.logFormat === "auto" && stderr.isTerminal);
}

/** The logger of a command; it writes to standard error. */
export function createCommandLogger(
  config: Config,
  stderr: OutputStream,
  level: LogLevel = config.logLevel,
): Logger {
  return createLogger({
    level,
    format: logsAreText(config, stderr) ? "pretty" : "json",
    destination: stderr,
    color: stderr.palette.enabled,
  });
}
