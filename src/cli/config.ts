import { Command } from "commander";

import { describeOrigin } from "../config/origin.ts";
import { describeDefault } from "../config/reference.ts";
import { configKeys } from "../config/schema.ts";
import type { Config, ConfigKey } from "../config/schema.ts";
import { fileKey } from "../config/setting-names.ts";
import type { LoadedConfig } from "../config/load.ts";
import type { CliContext } from "./context.ts";
import { addSettings, loadSettings } from "./settings.ts";
import { renderTable } from "./terminal/table.ts";

const examples = `
Examples:
  inkstone config                              what serve and run would use here
  inkstone config --config team.yaml --json    the same for a script
`;

/** `inkstone config`: the effective settings and where each came from. */
export function createConfigCommand(context: CliContext): Command {
  const command = new Command("config")
    .argument("[model]", "The model to use")
    .option("--json", "Print JSON.");
  addSettings(command, ["model", "server", "engine", "store", "log"]);
  return command
    .addHelpText("after", examples)
    .action((model: string | undefined, { json = false }: { json?: boolean }) => {
      const loaded = loadSettings(context, command, model);
      context.stdout.write(json ? `${JSON.stringify(toJson(loaded), null, 2)}\n` : toText(loaded));
    });
}

function toJson({ config, origins, file }: LoadedConfig): unknown {
  const settings = configKeys.map((key) => [fileKey(key), { value: config[key], origin: origins[key] }]);
  return { file, settings: Object.fromEntries(settings) as unknown };
}

function toText({ config, origins, file }: LoadedConfig): string {
  const rows = configKeys.map((key) => [
    fileKey(key),
    valueText(key, config[key]),
    describeOrigin(origins[key]),
  ]);
  return `file: ${file ?? "none"}\n\n${renderTable(["SETTING", "VALUE", "FROM"], rows)}`;
}

/** A value that stands for nothing given is shown by what it means. */
function valueText(key: ConfigKey, value: Config[ConfigKey]): string {
  const isEmpty = value === null || (Array.isArray(value) && value.length === 0);
  if (isEmpty) return describeDefault(key);
  return Array.isArray(value) ? value.join(",") : String(value);
}
