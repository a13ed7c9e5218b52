/** The table of all settings for docs/configuration.md. */
import { configDefaults, configKeys, settingDoc } from "./schema.ts";
import type { ConfigKey } from "./schema.ts";
import { environmentName, fileKey, settingFileKeys, settingFlags } from "./setting-names.ts";

/** A Markdown table of every setting: key, flags, variable, default, meaning. */
export function configurationTable(): string {
  const head = "| Key | Flags | Environment | Default | Meaning |\n|---|---|---|---|---|";
  return [head, ...configKeys.map(tableRow)].join("\n");
}

function tableRow(key: ConfigKey): string {
  const { doc, allowed } = settingDoc(key);
  const [, ...aliases] = settingFileKeys(key);
  const names = aliases.length > 0 ? ` (also ${aliases.map(code).join(", ")})` : "";
  const flags = settingFlags(key)
    .map((flag) => code(configDefaults[key] === true ? flag.replace(/^--/, "--[no-]") : flag))
    .join(", ");
  return `| ${code(fileKey(key))}${names} | ${flags} | ${code(environmentName(key))} | ${describeDefault(key)} | ${doc} Allowed: ${allowed}. |`;
}

/** The default of a setting as people read it. */
export function describeDefault(key: ConfigKey): string {
  const { defaultMeaning } = settingDoc(key);
  const value = configDefaults[key];
  return defaultMeaning ?? (Array.isArray(value) ? value.join(",") : String(value));
}

const code = (text: string): string => `\`${text}\``;
