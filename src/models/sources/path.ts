/** A path to a GGUF file on this machine, also to one part of a split model. */
import { readdirSync, statSync } from "node:fs";
import type { Stats } from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import { distance } from "fastest-levenshtein";
import { InkstoneError } from "../../errors.ts";
import { parseSplitName, toSplitName } from "../../gguf/split.ts";
import type { ModelSource, ResolvedModel } from "../types.ts";

/** What a path is relative to. */
export interface PathSourceOptions {
  /** Working directory. */
  readonly directory: string;
  /** What `~` stands for. */
  readonly homeDir: string;
}

/** The source of references that are paths. */
export function createPathSource({ directory, homeDir }: PathSourceOptions): ModelSource {
  const toAbsolute = (reference: string): string =>
    resolve(
      directory,
      reference.replace(/^~(?=$|[/\\])/, () => homeDir),
    );
  return {
    scheme: "",
    accepts: (reference) =>
      /\.gguf$/i.test(reference) ||
      /^[.~]?[/\\]|^\.\.?$|^\.\.[/\\]|^[a-z]:[/\\]/i.test(reference) ||
      (reference.includes(sep) && !/^[a-z][a-z0-9+.-]+:/i.test(reference)) ||
      statOf(toAbsolute(reference))?.isFile() === true,
    resolve: async (reference) => await Promise.resolve(resolvePath(reference, toAbsolute(reference))),
  };
}

function resolvePath(reference: string, path: string): ResolvedModel {
  const stats = statOf(path);
  if (stats === null) throw missing(path);
  if (stats.isDirectory()) throw isDirectory(path);
  const split = parseSplitName(basename(path));
  if (split === null || split.count === 1) {
    const name = basename(path).replace(/\.gguf$/i, "");
    return { reference, name, paths: [path], sizeBytes: stats.size };
  }
  const names = Array.from({ length: split.count }, (_, index) =>
    toSplitName(split.prefix, index + 1, split.count),
  );
  const paths = names.map((name) => join(dirname(path), name));
  const parts = paths.map(statOf);
  const absent = names.filter((_, index) => parts[index]?.isFile() !== true);
  if (absent.length > 0) {
    throw new InkstoneError(
      "model_file_missing",
      `${path} is one of ${split.count} parts, of which ${dirname(path)} lacks ${absent.join(", ")}.`,
    );
  }
  const sizeBytes = parts.reduce((sum, part) => sum + (part?.size ?? 0), 0);
  return { reference, name: split.prefix, paths, sizeBytes };
}

function isDirectory(path: string): InkstoneError {
  const models = ggufNames(path).filter((name) => (parseSplitName(name)?.number ?? 1) === 1);
  const shown = models.slice(0, 5).join(", ") + (models.length > 5 ? `, and ${models.length - 5} more` : "");
  return new InkstoneError(
    "model_file_missing",
    models.length === 0
      ? `${path} is a directory without .gguf files.`
      : `${path} is a directory; name one of its files: ${shown}.`,
  );
}

function missing(path: string): InkstoneError {
  const directory = dirname(path);
  if (statOf(directory)?.isDirectory() !== true) {
    return new InkstoneError(
      "model_file_missing",
      `${path} does not exist, nor does its directory ${directory}.`,
    );
  }
  const wanted = basename(path).toLowerCase();
  const near = ggufNames(directory)
    .map((name) => ({ name, edits: distance(wanted, name.toLowerCase()) }))
    .filter(
      ({ name, edits }) => edits <= Math.max(3, name.length / 3) || name.toLowerCase().startsWith(wanted),
    )
    .toSorted((a, b) => a.edits - b.edits)
    .slice(0, 3)
    .map(({ name }) => name);
  const suggestion = near.length === 0 ? "" : ` Did you mean ${near.join(" or ")}?`;
  return new InkstoneError("model_file_missing", `${path} does not exist.${suggestion}`);
}

function ggufNames(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => /\.gguf$/i.test(name))
      .toSorted();
  } catch {
    return [];
  }
}

function statOf(path: string): Stats | null {
  try {
    return statSync(path);
  } catch {
    return null;
  }
}
