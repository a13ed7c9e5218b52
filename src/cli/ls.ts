import { Command } from "commander";

import type { CliContext } from "./context.ts";
import { openModels } from "./models.ts";
import { addSettings, loadSettings } from "./settings.ts";
import { formatAgo, formatBytes } from "./terminal/format.ts";
import { renderTable } from "./terminal/table.ts";

/** `inkstone ls`: the models that are here. */
export function createListCommand(context: CliContext): Command {
  const command = new Command("ls").option("--json", "Print JSON.");
  addSettings(command, ["store", "log"]);
  return command.action(async ({ json = false }: { json?: boolean }) => {
    const { config } = loadSettings(context, command);
    const models = (await openModels(context, config)).list();
    if (json) {
      context.stdout.write(`${JSON.stringify(models, null, 2)}\n`);
      return;
    }
    const rows = models.map(({ name, digest, sizeBytes, modifiedAtMs }) => [
      name,
      digest.replace(/^sha256:/, "").slice(0, 12),
      formatBytes(sizeBytes),
      formatAgo(context.now() - modifiedAtMs),
    ]);
    context.stdout.write(renderTable(["NAME", "ID", "SIZE", "MODIFIED"], rows));
    if (rows.length === 0) {
      context.stderr.write("No models yet: `inkstone pull` fetches the default one.\n");
    }
  });
}
