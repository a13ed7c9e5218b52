/** The metadata of a GGUF file: scalars are kept, arrays are skipped and only their lengths kept. */
import { InkstoneError } from "../errors.ts";
import type { ByteReader } from "./byte-reader.ts";

/** A metadata value; a 64-bit integer beyond 2^53 is a bigint. */
export type GgufScalar = string | number | bigint | boolean;

/** Metadata by key. */
export interface GgufMetadata {
  readonly scalars: ReadonlyMap<string, GgufScalar>;
  readonly arrayLengths: ReadonlyMap<string, number>;
}

const maxMetadataCount = 100_000;
const maxKeyBytes = 65_535;
const maxStringBytes = 16 * 1024 * 1024;
const maxHeaderBytes = 128 * 1024 * 1024;
const maxArrayDepth = 4;
/** A key of no bytes and a value of one. */
const minEntryBytes = 8 + 4 + 1;

const stringType = 8;
const arrayType = 9;

/** Bytes of each value type that has a fixed size. */
const fixedBytes: ReadonlyMap<number, number> = new Map([
  [0, 1],
  [1, 1],
  [2, 2],
  [3, 2],
  [4, 4],
  [5, 4],
  [6, 4],
  [7, 1],
  [10, 8],
  [11, 8],
  [12, 8],
]);

/** Reads `count` entries. Throws `model_file_invalid`, or EndOfFileError where the file ends first. */
export function readMetadata(path: string, reader: ByteReader, count: number): GgufMetadata {
  if (count > maxMetadataCount) {
    throw invalid(path, `its header claims ${count} metadata entries; at most ${maxMetadataCount} are read`);
  }
  // Checked before anything is read, so that a claim costs nothing: skipping past the end throws.
  const { position } = reader;
  if (count * minEntryBytes > reader.remainingBytes) reader.skip(count * minEntryBytes);

  const scalars = new Map<string, GgufScalar>();
  const arrayLengths = new Map<string, number>();
  for (let index = 0; index < count; index += 1) {
    const key = readText(path, reader, maxKeyBytes, "a metadata key");
    if (scalars.has(key) || arrayLengths.has(key)) {
      throw invalid(path, `its metadata names ${JSON.stringify(key)} twice`);
    }
    const type = reader.u32();
    if (type === arrayType) arrayLengths.set(key, skipArray(path, reader, key, 0));
    else scalars.set(key, readScalar(path, reader, key, type));
    if (reader.position - position > maxHeaderBytes) throw tooLong(path);
  }
  return { scalars, arrayLengths };
}

/** A string that is preceded by its length. */
export function readText(path: string, reader: ByteReader, maxBytes: number, what: string): string {
  const length = reader.size();
  if (length > maxBytes) throw invalid(path, `${what} claims ${length} bytes; at most ${maxBytes} are read`);
  return reader.bytes(length).toString("utf8");
}

function readScalar(path: string, reader: ByteReader, key: string, type: number): GgufScalar {
  switch (type) {
    case 0:
      return reader.u8();
    case 1:
      return reader.i8();
    case 2:
      return reader.u16();
    case 3:
      return reader.i16();
    case 4:
      return reader.u32();
    case 5:
      return reader.i32();
    case 6:
      return reader.f32();
    case 7:
      return reader.u8() !== 0;
    case stringType:
      return readText(path, reader, maxStringBytes, `the metadata value ${JSON.stringify(key)}`);
    case 10:
      return toExact(reader.u64());
    case 11:
      return toExact(reader.i64());
    case 12:
      return reader.f64();
    default:
      throw invalid(path, `the metadata value ${JSON.stringify(key)} is of the unknown type ${type}`);
  }
}

function skipArray(path: string, reader: ByteReader, key: string, depth: number): number {
  const type = reader.u32();
  const length = reader.size();
  const start = reader.position;
  const elementBytes = fixedBytes.get(type);
  if (elementBytes !== undefined) {
    reader.skip(length * elementBytes);
    return length;
  }
  if (type !== stringType && type !== arrayType) {
    throw invalid(path, `the metadata array ${JSON.stringify(key)} is of the unknown type ${type}`);
  }
  if (type === arrayType && depth + 1 >= maxArrayDepth) {
    throw invalid(
      path,
      `the metadata array ${JSON.stringify(key)} is nested deeper than ${maxArrayDepth} levels`,
    );
  }
  for (let index = 0; index < length; index += 1) {
    if (type === stringType) reader.skip(reader.size());
    else skipArray(path, reader, key, depth + 1);
    if (reader.position - start > maxHeaderBytes) throw tooLong(path);
  }
  return length;
}

function toExact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function tooLong(path: string): InkstoneError {
  return invalid(path, `its metadata is longer than ${maxHeaderBytes} bytes`);
}

function invalid(path: string, reason: string): InkstoneError {
  return new InkstoneError("model_file_invalid", `${path} is damaged: ${reason}.`);
}
