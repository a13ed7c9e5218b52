import { didYouMean } from "../../config/nearest.ts";
import { InkstoneError } from "../../errors.ts";

/** Least and largest value of the parameters that can be set in a chat. */
const ranges: Readonly<Record<string, readonly [least: number, largest: number, whole: boolean]>> = {
  temperature: [0, 2, false],
  top_p: [0, 1, false],
  top_k: [0, 1_000_000, true],
  min_p: [0, 1, false],
  max_tokens: [1, 10_000_000, true],
  seed: [0, 4_294_967_295, true],
  repeat_penalty: [0, 10, false],
  presence_penalty: [-2, 2, false],
  frequency_penalty: [-2, 2, false],
};

/** Names of the parameters that can be set. */
export const parameterNames = Object.keys(ranges);

/** Reads a parameter's value. `label` is how it was named. Throws `invalid_request`. */
export function parseParameter(name: string, text: string, label: string = name): number {
  const range = ranges[name];
  if (range === undefined) {
    throw new InkstoneError(
      "invalid_request",
      `unknown parameter ${name}${didYouMean(name, parameterNames)}`,
    );
  }
  const [least, largest, whole] = range;
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!(value >= least && value <= largest) || (whole && !Number.isInteger(value))) {
    const kind = whole ? "a whole number" : "a number";
    throw new InkstoneError(
      "invalid_request",
      `${label}: invalid value ${JSON.stringify(text)}; allowed: ${kind} from ${least} to ${largest}`,
    );
  }
  return value;
}
