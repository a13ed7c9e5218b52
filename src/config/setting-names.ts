/** The names of a setting in each place. */
import { settingDoc } from "./schema.ts";
import type { ConfigKey } from "./schema.ts";

/** `contextWindow` as it stands in the file: `context_window`. */
export function fileKey(key: ConfigKey): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The setting's main flag: `--context-window`. */
export function mainFlag(key: ConfigKey): string {
  return `--${fileKey(key).replaceAll("_", "-")}`;
}

/** The setting's variable: `INKSTONE_CONTEXT_WINDOW`. */
export function environmentName(key: ConfigKey): string {
  return `INKSTONE_${fileKey(key).toUpperCase()}`;
}

/** All flags of a setting, the main one first. */
export function settingFlags(key: ConfigKey): readonly string[] {
  return [mainFlag(key), ...(settingDoc(key).flags ?? [])];
}

/** All keys of a setting in the file, the main one first. */
export function settingFileKeys(key: ConfigKey): readonly string[] {
  return [fileKey(key), ...(settingDoc(key).aliases ?? [])];
}
