/** The first bytes of a file: is it a GGUF, and of which version? */
import { InkstoneError } from "../errors.ts";
import type { ByteReader } from "./byte-reader.ts";

const supportedVersions = [2, 3] as const;
const newestVersion = 3;

/**
 * Reads magic and version. Throws `model_file_invalid` naming what the file is instead, or
 * `model_version_unsupported` naming the file's version and those that are read here.
 */
export function checkMagicAndVersion(path: string, reader: ByteReader, fileSizeBytes: number): number {
  if (fileSizeBytes === 0) throw invalid(`${path} is empty (0 bytes).`);
  const start = reader.bytes(Math.min(4, fileSizeBytes));
  if (start.toString("latin1") !== "GGUF") {
    const rest = reader.bytes(Math.min(28, reader.remainingBytes));
    throw invalid(`${path} is not a GGUF file: ${describeOther(Buffer.concat([start, rest]))}.`);
  }
  const version = reader.u32();
  if (version === 2 || version === 3) return version;
  // A version in the upper half of the word is a small number written by a big-endian machine.
  if ((version & 0xffff) === 0) {
    throw invalid(
      `${path} is a big-endian GGUF; only little-endian files are read (gguf-py's gguf_convert_endian.py converts it).`,
    );
  }
  throw new InkstoneError(
    "model_version_unsupported",
    `${path} is a GGUF of version ${version}; this Inkstone reads versions ${supportedVersions.join(" and ")}` +
      (version > newestVersion ? "; the file is newer." : "; the file is older: convert the model again."),
  );
}

function invalid(message: string): InkstoneError {
  return new InkstoneError("model_file_invalid", message);
}

function describeOther(start: Buffer): string {
  const text = start.toString("latin1");
  if (text.startsWith("version https://git-lfs")) {
    return "it is a Git LFS pointer, not the file itself (`git lfs pull` fetches it)";
  }
  if (/^\s*<(?:!doctype|html|\?xml)/i.test(text)) return "it is an HTML page, as a failed download leaves";
  if (text.startsWith("PK\u0003\u0004")) return "it is a zip archive, as a wheel or a PyTorch checkpoint is";
  if (/^.{8}\{"/s.test(text)) return "it looks like safetensors, which must be converted first";
  if (/^(?:lmgg|tjgg|fmgg)/.test(text)) return "it is of the format before GGUF and must be converted again";
  if (start.every((byte) => byte === 0)) return "it begins with zeros, as an unfinished download does";
  return `it begins with ${start.subarray(0, 4).toString("hex")} instead of 47475546 ("GGUF")`;
}
