/** The settings as flags of commands: made from the schema, and read back for the configuration's loader. */
import { Option } from "commander";
import type { Command } from "commander";

import type { FlagValue } from "../config/layers.ts";
import { loadConfig } from "../config/load.ts";
import type { LoadedConfig } from "../config/load.ts";
import { describeDefault } from "../config/reference.ts";
import { configDefaults, configKeys, settingDoc } from "../config/schema.ts";
import type { ConfigKey } from "../config/schema.ts";
import type { SettingGroup } from "../config/setting-doc.ts";
import { mainFlag, settingFlags } from "../config/setting-names.ts";
import type { CliContext } from "./context.ts";

const groupTitles: Readonly<Record<SettingGroup, string>> = {
  model: "Model:",
  server: "Server:",
  engine: "Engine:",
  store: "Files:",
  log: "Log:",
};

const isShort = (flag: string): boolean => /^-[^-]$/.test(flag);
const isLong = (flag: string): boolean => flag.startsWith("--");

/** Adds the flags of the settings in `groups`, of those in `keys`, and `--config`. */
export function addSettings(
  command: Command,
  groups: readonly SettingGroup[],
  keys: readonly ConfigKey[] = [],
): Command {
  for (const key of configKeys) {
    if (groups.includes(settingDoc(key).group) || keys.includes(key)) addSetting(command, key);
  }
  return command.addOption(new Option("--config <FILE>", "Configuration file to read.").helpGroup("Files:"));
}

function addSetting(command: Command, key: ConfigKey): void {
  const { group, kind, doc, offDoc = doc, placeholder } = settingDoc(key);
  const add = (option: Option): Command => command.addOption(option.helpGroup(groupTitles[group]));
  const [main, ...others] = settingFlags(key) as readonly [string, ...string[]];
  const short = others.find(isShort);
  const names = short === undefined ? main : `${short}, ${main}`;
  const also = others.filter((flag) => flag !== short);
  const help = also.length > 0 ? `${doc} Also ${also.join(", ")}.` : doc;
  const longNames = also.filter(isLong);
  if (kind === "boolean") {
    const isOn = configDefaults[key] === true;
    const no = (flag: string): string => flag.replace(/^--/, "--no-");
    add(new Option(names, help).hideHelp(isOn));
    add(new Option(no(main), isOn ? offDoc : doc).hideHelp(!isOn));
    for (const flag of longNames) {
      add(new Option(flag, help).hideHelp());
      add(new Option(no(flag), help).hideHelp());
    }
    return;
  }
  const withValue = (flags: string): Option => {
    const option = new Option(`${flags} <${placeholder}>`, `${help} (default: ${describeDefault(key)})`);
    return kind === "list" ? option.argParser(collect) : option;
  };
  add(withValue(names));
  for (const flag of longNames) add(withValue(flag).hideHelp());
}

function collect(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value];
}

const spelledOut: ReadonlyMap<string, string> = new Map(
  configKeys.flatMap((key) =>
    settingFlags(key)
      .filter((flag) => !isShort(flag) && !isLong(flag))
      .map((flag) => [flag, mainFlag(key)] as const),
  ),
);

/** Replaces flags such as `-ngl`, which a parser of single letters would take apart, by their long form. */
export function expandShortFlags(args: readonly string[]): string[] {
  const end = args.indexOf("--");
  return args.map((word, index) => (end !== -1 && index > end ? word : (spelledOut.get(word) ?? word)));
}

/** The setting flags that were given to a command, by their name. */
function givenFlags(command: Command): Record<string, FlagValue> {
  const known = new Set(["--config", ...configKeys.flatMap(settingFlags)]);
  const flags: Record<string, FlagValue> = {};
  for (const option of command.options) {
    const name = option.attributeName();
    const flag = option.negate ? option.long?.replace(/^--no-/, "--") : option.long;
    if (flag === undefined || !known.has(flag) || command.getOptionValueSource(name) !== "cli") continue;
    flags[flag] = command.getOptionValue(name) as FlagValue;
  }
  return flags;
}

/** Loads the configuration for a command, and says its warnings on standard error. */
export function loadSettings(context: CliContext, command: Command, modelArgument?: string): LoadedConfig {
  const loaded = loadConfig({ ...context.inputs, flags: givenFlags(command), modelArgument });
  for (const warning of loaded.warnings) {
    context.stderr.write(`${context.stderr.palette.yellow("warning:")} ${warning}\n`);
  }
  return loaded;
}
