/** Where the children's compiled files are. */
import { fileURLToPath } from "node:url";

/** A file that runs as a process or thread of its own. */
export type EntryName = "engine-process" | "tokenizer-process" | "orphan-watch";

/** Path of a compiled entry: beside this file, or in `dist/` when this file runs uncompiled. */
export function resolveEntry(name: EntryName): string {
  const folder = import.meta.url.endsWith(".ts") ? "../../../dist/engine/host/" : "./";
  return fileURLToPath(new URL(`${folder}${name}.js`, import.meta.url));
}
