/** Finds the GGUF that all contenders load. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { childEnvironment } from "./child-environment.ts";

const run = promisify(execFile);
const entry = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));
const defaultModel = "smollm2-135m";

/**
 * The path of the model: the one given, else INKSTONE_TEST_MODEL, else the default model from Inkstone's own store, fetched
 * if need be. Rejects when there is no such file.
 */
export async function findModel(given: string | undefined): Promise<string> {
  const path = given ?? process.env["INKSTONE_TEST_MODEL"];
  if (path !== undefined) {
    if (!existsSync(path)) throw new Error(`${path}: no such file`);
    return path;
  }
  await run(process.execPath, [entry, "pull", defaultModel], { env: childEnvironment() });
  const { stdout } = await run(process.execPath, [entry, "ls", "--json"], { env: childEnvironment() });
  const models = JSON.parse(stdout) as readonly {
    readonly name: string;
    readonly paths: readonly string[];
  }[];
  const file = models.find(({ name }) => name === defaultModel)?.paths[0];
  if (file === undefined) throw new Error(`inkstone ls --json names no file of ${defaultModel}`);
  return file;
}
