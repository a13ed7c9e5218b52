/** The weights that the model tests run on. */
import { loadConfig } from "../../src/config/load.ts";
import { readPipSettings } from "../../src/config/pip.ts";
import { readProcessInputs } from "../../src/config/process-inputs.ts";
import { createModels } from "../../src/models/resolve.ts";

/**
 * Path of a GGUF: the one that INKSTONE_TEST_MODEL names, else the default model out of the user's store, fetched if it is
 * not there.
 */
export async function testModelPath(): Promise<string> {
  const named = process.env["INKSTONE_TEST_MODEL"];
  if (named !== undefined) return named;
  const inputs = readProcessInputs();
  // Variables of tests and benchmarks, such as INKSTONE_PEERS_DIR, are no settings and would be refused.
  const kept = ["INKSTONE_CACHE_DIR", "INKSTONE_OFFLINE"];
  const env = Object.fromEntries(
    Object.entries(inputs.env).filter(([name]) => !name.startsWith("INKSTONE_") || kept.includes(name)),
  );
  const { config } = loadConfig({ ...inputs, env, flags: {} });
  const models = createModels({
    cacheDir: config.cacheDir,
    readPipSettings: () => readPipSettings(inputs),
    directory: inputs.cwd,
    homeDir: inputs.homeDir,
  });
  const [path] = (await models.resolve("")).paths;
  if (path === undefined) throw new Error("the default model has no file");
  return path;
}
