/** Puts the layers together: defaults < file < environment < flags. Pure: everything it reads is passed in. */
import { posix, win32 } from "node:path";

import { InkstoneError } from "../errors.ts";
import { environmentLayer, fileLayer, flagLayer } from "./layers.ts";
import type { Entry, Environment, FlagValue, Layer } from "./layers.ts";
import { describeOrigin } from "./origin.ts";
import type { Origin } from "./origin.ts";
import { configDefaults, configKeys, settingDoc } from "./schema.ts";
import type { Config, ConfigKey } from "./schema.ts";
import { fileKey } from "./setting-names.ts";
import { readValue, showValue } from "./value.ts";

/** What a configuration is made of. */
export interface ConfigInputs {
  /** By the flag as it was written (`--ctx-size`); `--config` names the file. A `--no-x` is `--x: false`. */
  readonly flags: Readonly<Record<string, FlagValue>>;
  /** The model that was named without a flag. */
  readonly modelArgument?: string | undefined;
  readonly env: Environment;
  /** The text of a file, or null where there is none; throws when it cannot be read. */
  readonly readFile: (path: string) => string | null;
  readonly cwd: string;
  readonly homeDir: string;
  readonly platform: NodeJS.Platform;
}

export interface LoadedConfig {
  readonly config: Config;
  readonly origins: Readonly<Record<ConfigKey, Origin>>;
  /** Sentences for the user about settings that have no effect. */
  readonly warnings: readonly string[];
  /** The configuration file that was read. */
  readonly file: string | null;
}

/** Where a path that was not written in full starts. */
interface Base {
  readonly directory: string;
  readonly homeDir: string;
  readonly platform: NodeJS.Platform;
}

/**
 * Settings that decide whose code runs here and who may reach the server. A file that merely lies in the working directory,
 * such as one of a cloned repository, may not set them. (Native libraries are looked for in the cache directory, too.)
 */
const guardedKeys: readonly ConfigKey[] = ["nativeDirectory", "cacheDir", "host", "apiKeyFile", "insecure"];

interface ConfigFile {
  readonly path: string;
  readonly text: string;
  /** Nobody named it: it was found in the working directory. */
  readonly isFoundHere: boolean;
}

const pathOf = (platform: NodeJS.Platform): typeof posix => (platform === "win32" ? win32 : posix);

/**
 * Loads the settings. Throws `invalid_config` that names every unknown key and invalid value, where it came from, and what
 * is allowed.
 */
export function loadConfig(inputs: ConfigInputs): LoadedConfig {
  const { "--config": _file, ...flags } = inputs.flags;
  const file = readConfigFile(inputs);
  const layers: Layer[] = [
    file === null ? { entries: [], problems: [] } : readFileLayer(file),
    environmentLayer(inputs.env),
    flagLayer(flags),
    argumentLayer(inputs.modelArgument, flags),
  ];
  const problems = layers.flatMap((layer) => [...layer.problems, ...duplicates(layer.entries)]);
  const values: Record<string, unknown> = { ...configDefaults, cacheDir: defaultCacheDir(inputs) };
  const origins = Object.fromEntries(configKeys.map((key) => [key, { kind: "default" }])) as Record<
    ConfigKey,
    Origin
  >;
  let firstKey: ConfigKey | undefined;
  for (const entry of layers.flatMap((layer) => layer.entries)) {
    const result = readValue(entry.key, entry.written);
    if (result.ok) {
      if (entry.key === "cacheDir" && result.value === null) continue;
      values[entry.key] = fromBase(entry, result.value, inputs);
      origins[entry.key] = entry.origin;
    } else {
      firstKey ??= entry.key;
      problems.push(
        `${describeEntry(entry)}: invalid value ${showValue(entry.written)}; allowed: ${result.allowed}`,
      );
    }
  }
  if (problems.length > 0) {
    throw new InkstoneError(
      "invalid_config",
      problems.join("\n"),
      firstKey ? { param: fileKey(firstKey) } : {},
    );
  }
  const config = Object.freeze(values) as Config;
  for (const value of Object.values(config)) Object.freeze(value);
  return {
    config,
    origins: Object.freeze(origins),
    warnings: warningsOf(config, origins),
    file: file?.path ?? null,
  };
}

function readFileLayer({ path, text, isFoundHere }: ConfigFile): Layer {
  const layer = fileLayer(path, text);
  if (!isFoundHere) return layer;
  const refused = layer.entries
    .filter(({ key }) => guardedKeys.includes(key))
    .map(
      (entry) =>
        `${describeEntry(entry)} is not taken from a file that was only found in the working directory; ` +
        `name the file with --config, or set ${fileKey(entry.key)} by a flag, the environment or the user's own file`,
    );
  return { ...layer, problems: [...layer.problems, ...refused] };
}

function readConfigFile(inputs: ConfigInputs): ConfigFile | null {
  const path = pathOf(inputs.platform);
  const flag = inputs.flags["--config"];
  const named =
    typeof flag === "string"
      ? { value: flag, origin: "--config" }
      : inputs.env["INKSTONE_CONFIG"]
        ? { value: inputs.env["INKSTONE_CONFIG"], origin: "INKSTONE_CONFIG" }
        : null;
  if (named !== null) {
    const full = path.resolve(inputs.cwd, expandHome(named.value, inputs));
    const text = readText(inputs, full);
    if (text === null) {
      throw new InkstoneError(
        "invalid_config",
        `there is no configuration file ${full} (from ${named.origin})`,
      );
    }
    return { path: full, text, isFoundHere: false };
  }
  const configHome = inputs.env["XDG_CONFIG_HOME"] || path.join(inputs.homeDir, ".config");
  const here = path.join(inputs.cwd, "inkstone.yaml");
  const textHere = readText(inputs, here);
  if (textHere !== null) return { path: here, text: textHere, isFoundHere: true };
  const own = path.join(configHome, "inkstone", "config.yaml");
  const ownText = readText(inputs, own);
  return ownText === null ? null : { path: own, text: ownText, isFoundHere: false };
}

function readText(inputs: ConfigInputs, path: string): string | null {
  try {
    return inputs.readFile(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InkstoneError("invalid_config", `cannot read the configuration file ${path}: ${reason}`, {
      cause: error,
    });
  }
}

function argumentLayer(model: string | undefined, flags: Readonly<Record<string, FlagValue>>): Layer {
  if (model === undefined) return { entries: [], problems: [] };
  const flag = ["--model", "-m"].find((name) => name in flags && flags[name] !== model);
  const problems =
    flag === undefined
      ? []
      : [`two models are named: ${showValue(model)} and ${flag} ${showValue(flags[flag])}; name one`];
  return { entries: [{ key: "model", written: model, origin: { kind: "argument" } }], problems };
}

/** Two names of one setting in the same layer, where the one that wins would be a guess. */
function duplicates(entries: readonly Entry[]): string[] {
  const seen = new Map<ConfigKey, Entry>();
  const problems: string[] = [];
  for (const entry of entries) {
    const other = seen.get(entry.key);
    if (other !== undefined && showValue(other.written) !== showValue(entry.written)) {
      problems.push(
        `${describeEntry(other)} and ${describeEntry(entry)} are the same setting with different values; give one`,
      );
    }
    seen.set(entry.key, entry);
  }
  return problems;
}

function describeEntry({ origin, key }: Entry): string {
  if (origin.kind === "file") return `${describeOrigin(origin)}: ${origin.key}`;
  return origin.kind === "argument" ? `${fileKey(key)} (argument)` : describeOrigin(origin);
}

/** Paths in the file start at the file's folder, others at the working directory. */
function fromBase(entry: Entry, value: unknown, inputs: ConfigInputs): unknown {
  if (typeof value !== "string") return value;
  const { kind } = settingDoc(entry.key);
  const path = pathOf(inputs.platform);
  const base: Base = {
    directory: entry.origin.kind === "file" ? path.dirname(entry.origin.path) : inputs.cwd,
    homeDir: inputs.homeDir,
    platform: inputs.platform,
  };
  if (kind === "path") return path.resolve(base.directory, expandHome(value, base));
  if (kind === "reference" && /^(~|\.\.?)[/\\]/.test(value)) {
    return path.resolve(base.directory, expandHome(value, base));
  }
  return value;
}

function expandHome(value: string, { homeDir, platform }: Pick<Base, "homeDir" | "platform">): string {
  return value === "~" || /^~[/\\]/.test(value) ? pathOf(platform).join(homeDir, value.slice(1)) : value;
}

function defaultCacheDir({ env, homeDir, platform }: ConfigInputs): string {
  const path = pathOf(platform);
  if (env["XDG_CACHE_HOME"]) return path.join(env["XDG_CACHE_HOME"], "inkstone");
  if (platform === "darwin") return path.join(homeDir, "Library", "Caches", "inkstone");
  if (platform === "win32" && env["LOCALAPPDATA"]) return path.join(env["LOCALAPPDATA"], "inkstone", "cache");
  return path.join(homeDir, ".cache", "inkstone");
}

function warningsOf(config: Config, origins: Readonly<Record<ConfigKey, Origin>>): string[] {
  if (config.dynamicPadding) return [];
  const from = describeOrigin(origins.dynamicPadding);
  return [`dynamic_padding: false (${from}) has no effect: batches are ragged, so nothing is padded`];
}
