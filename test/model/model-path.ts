/** The weights that the model tests run on. */
import { loadConfig } from "../../src/config/load.ts";
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
  const { config } = loadConfig({ ...inputs, flags: {} });
  const models = createModels({ cacheDir: config.cacheDir, env: inputs.env });
  const [path] = (await models.resolve("")).paths;
  if (path === undefined) throw new Error("the default model has no file");
  return path;
}
