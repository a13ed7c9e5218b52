/** Bounds that hold for every body before its fields are looked at: what comes after may recurse and collect. */
import { InkstoneError } from "../errors.ts";

/** Deepest nesting of lists and objects in a body. */
export const maxBodyDepth = 64;

/** Most values in a body. Numbers in lists, such as the tokens of a prompt, do not count. */
export const maxBodyValues = 100_000;

/** Throws `invalid_request` for a JSON value that is nested too deeply or holds too many values. Does not recurse. */
export function checkBodyShape(body: unknown): void {
  let level: object[] = isObject(body) ? [body] : [];
  let nValues = 0;
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > maxBodyDepth) {
      throw new InkstoneError(
        "invalid_request",
        `the body is nested more than ${maxBodyDepth} levels deep, which this server does not take`,
      );
    }
    const next: object[] = [];
    for (const container of level) {
      const isList = Array.isArray(container);
      for (const value of (isList ? container : Object.values(container)) as readonly unknown[]) {
        if (isList && typeof value === "number") continue;
        if (++nValues > maxBodyValues) {
          throw new InkstoneError(
            "invalid_request",
            `the body holds more than ${maxBodyValues} values, which this server does not take`,
          );
        }
        if (isObject(value)) next.push(value);
      }
    }
    level = next;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
