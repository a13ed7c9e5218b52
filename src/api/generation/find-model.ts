/** From the name in a request to a model. */
import { InkstoneError } from "../../errors.ts";
import type { EngineRegistry, ServedModel } from "../deps.ts";

/** The model of this name or alias; without a name the first one. Throws `model_not_found`, or `engine_unavailable` when none is served yet. */
export function findModel(engines: EngineRegistry, name: string | null | undefined): ServedModel {
  const models = engines.list();
  const first = models[0];
  if (first === undefined) throw new InkstoneError("engine_unavailable", "no model is loaded yet");
  if (name === null || name === undefined || name === "") return first;
  const found = engines.get(name);
  if (found !== undefined) return found;
  throw new InkstoneError(
    "model_not_found",
    `the model ${JSON.stringify(name.slice(0, 200))} is not served here; served: ${models.map((model) => model.name).join(", ")}`,
    { param: "model" },
  );
}
