/** The models' room as the commands use it; loaded only when a command needs it. */
import { readPipSettings } from "../config/pip.ts";
import type { Config } from "../config/schema.ts";
import type { Models } from "../models/resolve.ts";
import type { ModelsLogger, ResolvedModel } from "../models/types.ts";
import type { CliContext } from "./context.ts";
import { createProgressReporter } from "./terminal/progress.ts";

/** The models of the configured cache directory. */
export async function openModels(
  { inputs, now }: CliContext,
  config: Config,
  logger?: ModelsLogger,
): Promise<Models> {
  const { createModels } = await import("../models/resolve.ts");
  return createModels({
    cacheDir: config.cacheDir,
    readPipSettings: () => readPipSettings(inputs),
    directory: inputs.cwd,
    homeDir: inputs.homeDir,
    now,
    logger,
  });
}

/** How a model is looked for. */
export interface ResolveModelOptions {
  readonly signal: AbortSignal;
  /** Check every byte, and look for a newer version. */
  readonly refresh?: boolean;
  /** Takes the lines about progress instead of standard error. */
  readonly onProgressLine?: (line: string) => void;
}

/** Finds the configured model (else the default one), and fetches it where needed, with progress on standard error. */
export async function resolveModel(
  { stderr, now }: CliContext,
  models: Models,
  config: Config,
  { signal, refresh = false, onProgressLine }: ResolveModelOptions,
): Promise<ResolvedModel> {
  const { DEFAULT_MODEL } = await import("../models/resolve.ts");
  const reporter = createProgressReporter({
    write: (text) => (onProgressLine === undefined ? stderr.write(text) : onProgressLine(text.trimEnd())),
    isTerminal: stderr.isTerminal && onProgressLine === undefined,
    columns: stderr.columns,
    now,
  });
  let finished = false;
  try {
    const model = await models.resolve(config.model ?? DEFAULT_MODEL, {
      signal,
      refresh,
      offline: config.offline,
      onProgress: (progress) => reporter.update(progress),
    });
    finished = true;
    return model;
  } finally {
    reporter.end(finished);
  }
}
