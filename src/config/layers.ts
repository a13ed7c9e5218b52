/** The three layers over the defaults, each as a list of what was written and where. */
import { LineCounter, isMap, isNode, isScalar, parseDocument } from "yaml";

import { didYouMean, nearestWord } from "./nearest.ts";
import type { Origin } from "./origin.ts";
import { configKeys } from "./schema.ts";
import type { ConfigKey } from "./schema.ts";
import { environmentName, mainFlag, settingFileKeys, settingFlags } from "./setting-names.ts";

/** One setting as it was written in one place. */
export interface Entry {
  readonly key: ConfigKey;
  readonly written: unknown;
  readonly origin: Origin;
}

/** What a layer holds; each of `problems` is one sentence. */
export interface Layer {
  readonly entries: readonly Entry[];
  readonly problems: readonly string[];
}

/** A flag's value as the command line gives it; a list holds every use of a flag that may be repeated. */
export type FlagValue = string | boolean | readonly string[];

export type Environment = Readonly<Record<string, string | undefined>>;

const prefix = "INKSTONE_";

/** Variables of Inkstone that are not settings. */
const otherVariables = ["INKSTONE_CONFIG", "INKSTONE_DEBUG"];

/**
 * Kubernetes gives every container the addresses of the services beside it; those of a service called inkstone look like
 * settings (INKSTONE_PORT=tcp://10.0.0.1:8080) and are none.
 */
function isServiceLink(name: string, value: string): boolean {
  if (/_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$/.test(name)) return true;
  if (/_PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?$/.test(name)) return true;
  return name.endsWith("_PORT") && /^(tcp|udp|sctp):\/\//.test(value);
}

/** The settings among the variables. Empty ones count as absent. */
export function environmentLayer(env: Environment): Layer {
  const keyOf = new Map(configKeys.map((key) => [environmentName(key), key]));
  const entries: Entry[] = [];
  const problems: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(prefix) || value === undefined || value === "") continue;
    if (otherVariables.includes(name) || isServiceLink(name, value)) continue;
    const key = keyOf.get(name);
    if (key === undefined) {
      problems.push(`unknown environment variable ${name}${environmentHint(name)}`);
    } else {
      entries.push({ key, written: value, origin: { kind: "environment", name } });
    }
  }
  return { entries, problems };
}

function environmentHint(name: string): string {
  const word = name.slice(prefix.length).toLowerCase();
  const key = configKeys.find((candidate) => settingFileKeys(candidate).includes(word));
  if (key !== undefined) return `; its name is ${environmentName(key)}`;
  const suffixes = [...configKeys.map(environmentName), ...otherVariables].map((other) =>
    other.slice(prefix.length),
  );
  const nearest = nearestWord(word, suffixes);
  return nearest === null ? "" : `; did you mean ${prefix}${nearest}?`;
}

/** The settings among the flags, by the flag that was written. */
export function flagLayer(flags: Readonly<Record<string, FlagValue>>): Layer {
  const keyOf = new Map(configKeys.flatMap((key) => settingFlags(key).map((flag) => [flag, key] as const)));
  const entries: Entry[] = [];
  const problems: string[] = [];
  for (const [flag, written] of Object.entries(flags)) {
    const key = keyOf.get(flag);
    const name = written === false ? flag.replace(/^--/, "--no-") : flag;
    if (key === undefined) {
      problems.push(`unknown option ${flag}${didYouMean(flag, configKeys.map(mainFlag))}`);
    } else {
      entries.push({ key, written, origin: { kind: "flag", flag: name } });
    }
  }
  return { entries, problems };
}

/** The settings of a configuration file. `path` is shown in messages. */
export function fileLayer(path: string, text: string): Layer {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineOf = (offset: number): number => lines.linePos(offset).line;
  const [broken] = document.errors;
  if (broken !== undefined) {
    const at = lineOf(broken.pos[0]);
    return { entries: [], problems: [`${path}:${at}: not valid YAML: ${broken.message}`] };
  }
  const root = document.contents;
  if (root === null || (isScalar(root) && root.value === null)) return { entries: [], problems: [] };
  if (!isMap(root)) {
    return { entries: [], problems: [`${path}: expected settings as \`key: value\` lines`] };
  }
  const keyOf = new Map(
    configKeys.flatMap((key) => settingFileKeys(key).map((name) => [name, key] as const)),
  );
  const entries: Entry[] = [];
  const problems: string[] = [];
  for (const pair of root.items) {
    const node = pair.key;
    const name = isScalar(node) ? String(node.value) : String(node);
    const line = isScalar(node) && node.range ? lineOf(node.range[0]) : 1;
    const key = keyOf.get(name);
    if (key === undefined) {
      problems.push(`${path}:${line}: unknown key ${name}${fileHint(name)}`);
      continue;
    }
    const written: unknown = isNode(pair.value) ? pair.value.toJS(document) : null;
    entries.push({ key, written, origin: { kind: "file", path, line, key: name } });
  }
  return { entries, problems };
}

function fileHint(name: string): string {
  const word = name.toLowerCase().replaceAll("-", "_");
  return didYouMean(
    word,
    configKeys.flatMap((key) => settingFileKeys(key)),
  );
}
