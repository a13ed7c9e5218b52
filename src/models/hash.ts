/** SHA-256 of files, in pieces. */
import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { InkstoneError } from "../errors.ts";

/**
 * Feeds a file to a hash, reporting the bytes read so far. Throws `interrupted` when the signal aborts, and the system's
 * error when the file cannot be read.
 */
export async function hashInto(
  hash: Hash,
  path: string,
  options: { readonly signal?: AbortSignal; readonly onBytes?: (nBytes: number) => void } = {},
): Promise<void> {
  const { signal, onBytes } = options;
  let nBytes = 0;
  const stream = createReadStream(path, { highWaterMark: 1 << 20 });
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (signal?.aborted === true) throw new InkstoneError("interrupted", `Checking ${path} was interrupted.`);
    hash.update(chunk);
    nBytes += chunk.length;
    onBytes?.(nBytes);
  }
}

/** SHA-256 of a file in hexadecimal. */
export async function sha256OfFile(
  path: string,
  options: { readonly signal?: AbortSignal; readonly onBytes?: (nBytes: number) => void } = {},
): Promise<string> {
  const hash = createHash("sha256");
  await hashInto(hash, path, options);
  return hash.digest("hex");
}
