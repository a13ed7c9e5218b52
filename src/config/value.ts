/** From what was written (text of a flag or variable, a value of the file) to a checked value of a setting. */
import { configSchema, settingDoc } from "./schema.ts";
import type { ConfigKey } from "./schema.ts";
import type { SettingKind } from "./setting-doc.ts";

export type ValueResult =
  | { readonly ok: true; readonly value: unknown }
  /** `allowed` completes "allowed: ...". */
  | { readonly ok: false; readonly allowed: string };

const byteUnits: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  kib: 1024,
  m: 1e6,
  mb: 1e6,
  mib: 1024 ** 2,
  g: 1e9,
  gb: 1e9,
  gib: 1024 ** 3,
};

const trueWords = new Set(["true", "yes", "on", "1"]);
const falseWords = new Set(["false", "no", "off", "0"]);

/** Text that is not of the kind stays text, and the schema refuses it. */
function fromText(kind: SettingKind, text: string): unknown {
  const word = text.trim();
  switch (kind) {
    case "text":
    case "path":
    case "reference":
      return word;
    case "integer":
      if (word.toLowerCase() === "auto") return null;
      return /^[+-]?\d+$/.test(word) ? Number(word) : text;
    case "bytes":
      return parseBytes(word) ?? text;
    case "boolean":
      if (trueWords.has(word.toLowerCase())) return true;
      return falseWords.has(word.toLowerCase()) ? false : text;
    case "list":
      return splitList(word);
    case "numbers":
      return splitList(word).map((part) => (/^[+-]?\d+(\.\d+)?$/.test(part) ? Number(part) : part));
  }
}

function splitList(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** `64MiB`, `10 kB`, `4096` as bytes; null where it is none of these. */
export function parseBytes(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const unit = byteUnits[match?.[2]?.toLowerCase() ?? "-"];
  return match === null || unit === undefined ? null : Math.round(Number(match[1]) * unit);
}

/** Several texts (a repeated flag, a sequence of the file) of a list setting become one list. */
function fromParts(kind: SettingKind, parts: readonly unknown[]): unknown {
  if (kind !== "list" && kind !== "numbers") return parts;
  return parts.flatMap((part) => (typeof part === "string" ? (fromText(kind, part) as unknown[]) : [part]));
}

/** Checks what was written for a setting, and gives it its type. */
export function readValue(key: ConfigKey, written: unknown): ValueResult {
  const { kind, allowed } = settingDoc(key);
  let value = written;
  if (typeof written === "string") value = fromText(kind, written);
  else if (Array.isArray(written)) value = fromParts(kind, written);
  else if (kind === "numbers" && typeof written === "number") value = [written];
  if (value === undefined) return { ok: false, allowed };
  const result = configSchema.shape[key].safeParse(value);
  return result.success ? { ok: true, value: result.data } : { ok: false, allowed };
}

/** A value as it is shown in messages, cut to a readable length. */
export function showValue(value: unknown): string {
  if (Array.isArray(value)) return value.map((part) => showValue(part)).join(",") || "(none)";
  const text = typeof value === "string" ? JSON.stringify(value) : (JSON.stringify(value) ?? "nothing");
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
