/** Models that are split over several GGUF files, as llama.cpp's `llama-gguf-split` names them. */
import { InkstoneError } from "../errors.ts";
import { readGgufHeader } from "./header.ts";
import type { GgufHeader } from "./header.ts";

/** The parts of a name such as `model-00002-of-00003.gguf`. */
export interface SplitName {
  /** What stands before `-00002-of-`. */
  readonly prefix: string;
  /** From 1. */
  readonly number: number;
  readonly count: number;
}

/** Takes a file name apart; null where it is not the name of a part. */
export function parseSplitName(fileName: string): SplitName | null {
  const match = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i.exec(fileName);
  if (match === null) return null;
  const number = Number(match[2]);
  const count = Number(match[3]);
  return number >= 1 && number <= count ? { prefix: match[1] ?? "", number, count } : null;
}

/** The file name of part `number` (from 1) of `count`. */
export function toSplitName(prefix: string, number: number, count: number): string {
  const digits = (value: number): string => String(value).padStart(5, "0");
  return `${prefix}-${digits(number)}-of-${digits(count)}.gguf`;
}

/** What the headers of all files of a model say together. */
export interface GgufModel {
  /** The header of the first file, which holds the metadata. */
  readonly header: GgufHeader;
  readonly parameterCount: number;
  readonly sizeBytes: number;
  readonly tensorBytes: number;
}

/**
 * Reads and checks the headers of a model's files, given in order. Throws what `readGgufHeader` throws, and
 * `model_file_invalid` where the files are not the parts, in order, of one model.
 */
export function readGgufModel(paths: readonly string[]): GgufModel {
  const headers = paths.map(readGgufHeader);
  const first = headers[0];
  if (first === undefined) throw new InkstoneError("model_file_invalid", "A model without files was given.");
  const count = first.split?.count ?? 1;
  if (count !== headers.length) {
    throw new InkstoneError(
      "model_file_invalid",
      `${first.path} is part of a model of ${count} files, but ${headers.length} were given.`,
    );
  }
  headers.forEach((header, index) => {
    if (headers.length > 1 && (header.split?.index !== index || header.split.count !== count)) {
      throw new InkstoneError(
        "model_file_invalid",
        `${header.path} should be part ${index + 1} of ${count}, but says ` +
          (header.split === null
            ? "that it is a whole model."
            : `${header.split.index + 1} of ${header.split.count}.`),
      );
    }
  });
  const sum = (value: (header: GgufHeader) => number): number =>
    headers.reduce((total, header) => total + value(header), 0);
  return {
    header: first,
    parameterCount: sum((header) => header.parameterCount),
    sizeBytes: sum((header) => header.fileSizeBytes),
    tensorBytes: sum((header) => header.tensorBytes),
  };
}
