/** What is known of a setting beside its type. */

/** How text (of a flag or a variable) becomes a value of the setting. */
export type SettingKind =
  | "text"
  | "path"
  | "reference"
  | "integer"
  | "bytes"
  | "boolean"
  | "list"
  | "numbers";

/** Commands group the settings: a command takes the flags of its groups. */
export type SettingGroup = "model" | "server" | "engine" | "store" | "log";

/** The description of one setting. */
export interface SettingDoc {
  readonly group: SettingGroup;
  readonly kind: SettingKind;
  /** One sentence for help and documentation. */
  readonly doc: string;
  /** For a switch that is on: what its `--no-` flag does. */
  readonly offDoc?: string;
  /** What values are allowed, as it completes "allowed: ...". */
  readonly allowed: string;
  /** What the default means where its value does not say it. */
  readonly defaultMeaning?: string;
  /** Stands for the value in help, such as "N". */
  readonly placeholder: string;
  /** Further keys in the file, under the names that other tools use. */
  readonly aliases?: readonly string[];
  /** Further flags: long ones, and short ones of any length (`-ngl`). */
  readonly flags?: readonly string[];
}
