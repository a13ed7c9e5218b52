/** The list of tensors in a GGUF header, and the check that their bytes are in the file. */
import { InkstoneError } from "../errors.ts";
import type { ByteReader } from "./byte-reader.ts";
import { ggmlType, isRemovedGgmlType, maxGgmlTypeId } from "./ggml-types.ts";
import { readText } from "./metadata.ts";
import type { GgufScalar } from "./metadata.ts";

/** One tensor. */
export interface GgufTensor {
  readonly name: string;
  /** Such as "Q4_K". */
  readonly type: string;
  /** Elements along each dimension; the first is the one that is contiguous. */
  readonly shape: readonly number[];
  readonly elementCount: number;
  readonly sizeBytes: number;
  /** Where its bytes begin, counted from the file's data offset. */
  readonly offset: number;
}

const defaultAlignment = 32;
const maxAlignment = 1 << 20;
const maxTensorCount = 200_000;
const maxDimensions = 4;
const maxNameBytes = 1024;
/** A name of no bytes, no dimensions. */
const minEntryBytes = 8 + 4 + 4 + 8;
/** No file is so large; a claim beyond it is damage, not truncation. */
const maxPlausibleBytes = 2 ** 50;

/**
 * Reads the list of tensors, at the reader's position. Throws `model_file_invalid`, `model_version_unsupported` (a tensor
 * type that is newer), `model_file_truncated` naming both sizes, or EndOfFileError where the file ends inside the list.
 */
export function readTensors(
  path: string,
  reader: ByteReader,
  facts: {
    readonly count: number;
    readonly alignment: GgufScalar | undefined;
    readonly fileSizeBytes: number;
  },
): { tensors: GgufTensor[]; dataOffset: number } {
  const { count, fileSizeBytes } = facts;
  if (count > maxTensorCount) {
    throw invalid(path, `its header claims ${count} tensors; at most ${maxTensorCount} are read`);
  }
  if (count * minEntryBytes > reader.remainingBytes) reader.skip(count * minEntryBytes);
  const alignment = toAlignment(path, facts.alignment);
  const tensors: GgufTensor[] = [];
  let endOfData = 0;
  for (let index = 0; index < count; index += 1) {
    const tensor = readTensor(path, reader, alignment);
    tensors.push(tensor);
    endOfData = Math.max(endOfData, tensor.offset + tensor.sizeBytes);
  }
  const dataOffset = Math.ceil(reader.position / alignment) * alignment;
  const neededBytes = dataOffset + endOfData;
  if (neededBytes > maxPlausibleBytes) {
    throw invalid(path, `its tensors claim ${neededBytes} bytes`);
  }
  if (tensors.length > 0 && neededBytes > fileSizeBytes) {
    throw new InkstoneError(
      "model_file_truncated",
      `${path} has ${fileSizeBytes} bytes, but its tensors need ${neededBytes}.`,
    );
  }
  return { tensors, dataOffset };
}

function readTensor(path: string, reader: ByteReader, alignment: number): GgufTensor {
  const name = readText(path, reader, maxNameBytes, "a tensor's name");
  const label = `the tensor ${JSON.stringify(name)}`;
  const nDimensions = reader.u32();
  if (nDimensions > maxDimensions) {
    throw invalid(path, `${label} claims ${nDimensions} dimensions; at most ${maxDimensions} are possible`);
  }
  const shape: number[] = [];
  for (let index = 0; index < nDimensions; index += 1) shape.push(reader.size());
  const typeId = reader.u32();
  const offset = reader.size();
  const type = ggmlType(typeId);
  if (type === undefined) {
    const message = isRemovedGgmlType(typeId)
      ? `${path}: ${label} is of type ${typeId}, which llama.cpp no longer reads; convert the model again.`
      : `${path}: ${label} is of type ${typeId}; this Inkstone knows types up to ${maxGgmlTypeId}.`;
    throw new InkstoneError("model_version_unsupported", message);
  }
  const elementCount = shape.reduce((product, size) => product * size, 1);
  const rowLength = shape[0] ?? 1;
  if (rowLength % type.blockSize !== 0) {
    throw invalid(
      path,
      `${label} has rows of ${rowLength}, not a multiple of ${type.blockSize} as ${type.name} needs`,
    );
  }
  const sizeBytes = (elementCount / type.blockSize) * type.blockBytes;
  if (!(offset + sizeBytes <= maxPlausibleBytes)) {
    throw invalid(path, `${label} claims ${sizeBytes} bytes at offset ${offset}`);
  }
  if (offset % alignment !== 0) {
    throw invalid(path, `${label} begins at offset ${offset}, not a multiple of ${alignment}`);
  }
  return { name, type: type.name, shape, elementCount, sizeBytes, offset };
}

function toAlignment(path: string, value: GgufScalar | undefined): number {
  if (value === undefined) return defaultAlignment;
  if (typeof value !== "number" || value < 1 || value > maxAlignment || !Number.isInteger(Math.log2(value))) {
    throw invalid(path, `general.alignment is ${String(value)}, not a power of two up to ${maxAlignment}`);
  }
  return value;
}

function invalid(path: string, reason: string): InkstoneError {
  return new InkstoneError("model_file_invalid", `${path} is damaged: ${reason}.`);
}
