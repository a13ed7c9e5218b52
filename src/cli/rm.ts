import { Command } from "commander";

import type { CliContext } from "./context.ts";
import { openModels } from "./models.ts";
import { addSettings, loadSettings } from "./settings.ts";
import { formatBytes } from "./terminal/format.ts";

/** `inkstone rm`: removes models from the store. */
export function createRemoveCommand(context: CliContext): Command {
  const command = new Command("rm").argument("<models...>", "Names that `inkstone ls` shows");
  addSettings(command, ["store", "log"]);
  return command.action(async (names: readonly string[]) => {
    const { config } = loadSettings(context, command);
    const models = await openModels(context, config);
    for (const name of names) {
      const { names: removed, freedBytes } = await models.remove(name);
      context.stdout.write(`removed ${removed.join(", ")} (${formatBytes(freedBytes)} freed)\n`);
    }
    const { freedBytes } = await models.prune();
    if (freedBytes > 0)
      context.stdout.write(`removed what no model needed (${formatBytes(freedBytes)} freed)\n`);
  });
}
