/** The kinds of settings that occur more than once: a schema each, registered with its description. */
import { z } from "zod";

import type { SettingDoc } from "./setting-doc.ts";

/** The description of every setting, by its schema. */
export const settingDocs = z.registry<SettingDoc>();

type Described<Missing extends keyof SettingDoc = never> = Omit<SettingDoc, "kind" | "allowed" | Missing>;

/** A switch. */
export const toggle = (fallback: boolean, doc: Described<"placeholder">) =>
  z
    .boolean()
    .default(fallback)
    .register(settingDocs, { ...doc, kind: "boolean", allowed: "true or false", placeholder: "" });

/** The limits of a whole number, both included, and its default. */
interface IntegerRange {
  readonly least: number;
  readonly largest?: number;
  readonly fallback: number;
}

/** A whole number. */
export function integer({ least, largest, fallback }: IntegerRange, doc: Described) {
  const allowed =
    largest === undefined
      ? `a whole number, at least ${least}`
      : `a whole number from ${least} to ${largest}`;
  return z
    .int()
    .min(least)
    .max(largest ?? Number.MAX_SAFE_INTEGER)
    .default(fallback)
    .register(settingDocs, { ...doc, kind: "integer", allowed });
}

/** A whole number of at least `least`, or null for "auto". */
export const optionalInteger = (least: number, doc: Described) =>
  z
    .int()
    .min(least)
    .nullable()
    .default(null)
    .register(settingDocs, {
      ...doc,
      kind: "integer",
      allowed: `a whole number, at least ${least}, or auto`,
    });

/** One of several words. */
export const choice = <const Values extends readonly [string, ...string[]]>(
  values: Values,
  fallback: Values[number],
  doc: Described,
) =>
  z
    .enum(values)
    .default(fallback)
    .register(settingDocs, { ...doc, kind: "text", allowed: `one of ${values.join(", ")}` });

/** A path, or null for none. */
export const optionalPath = (doc: Described) =>
  z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .register(settingDocs, { ...doc, kind: "path", allowed: "a path" });

/** Several words. */
export const list = (doc: Omit<SettingDoc, "kind">) =>
  z
    .array(z.string().min(1))
    .default([])
    .register(settingDocs, { ...doc, kind: "list" });
